/* A part behind TVM's calling convention, so that a TVM RPC server can run it.
 *
 * The server opens this library, which needs the part's libmodel.so beside it, and calls
 *
 *   run(records, sizes, n_inputs, n_fed, outputs)
 *   trace(..., traced)                        the output of every layer
 *   send(..., sources, frames, frame_bytes)   the coded link, if the part has one
 *   profile(..., sources, times, cycles, reason)
 *
 *   records      uint8 [N, bytes of the fed tensors]: inputs of model_run, then what is passed
 *   sizes        int64 [n_fed + outputs], the bytes of each tensor
 *   outputs      uint8 [N, bytes of the outputs]
 *   traced       uint8 [N, bytes of all layer outputs]
 *   sources      int64 [tensors of the link]: i is fed i, n_fed + j is output j
 *   frames       uint8 [N, frame_capacity()], of which frame_bytes int64 [N] count
 *   times        int64 [layers, or one more for coding][runs] in nanoseconds; N is 1
 *   cycles       the same in cycles
 *   reason       uint8 [160], why cycles could not be counted, or ""
 *
 * All return 0, or the number of what went wrong (enum fault), or what model_run returned.
 * The convention: tvm/ffi/c_api.h of apache-tvm-ffi 0.1.14; nothing of its library is needed.
 */
#define _DEFAULT_SOURCE /* POSIX.1-2008, and syscall() */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tvm/ffi/c_api.h>

#include "cycles.h"

enum { ALIGNMENT = 64, MAX_TENSORS = 256 };
enum fault { BAD_CALL = -1, NO_MEMORY = -2, NOT_FINITE = -3, OTHER_LAYERS = -4, NO_LINK = -5 };

typedef void (*model_observer)(void *user, int32_t layer, const void *output, size_t nbytes);
extern const size_t model_arena_bytes;
extern const int32_t model_num_layers;
int32_t model_run_observed(const void *const inputs[], void *const outputs[], void *arena,
                           model_observer observer, void *user);
void model_read_layer(int32_t layer, const void *output, void *dense) __attribute__((weak));
size_t model_encode_link(void *workspace, const void *const tensors[], uint8_t *frame,
                         size_t capacity) __attribute__((weak));
size_t model_link_workspace(void) __attribute__((weak));
size_t model_link_bound(void) __attribute__((weak));

/* What a call works on, and what the observer needs.
 *   tensors     [n_tensors], the fed and then the outputs, each ALIGNMENT-aligned
 *   traced      where the next layer output goes, up to traced_end; or NULL
 *   times       [layers, and one for coding][n_runs], as cycles; or NULL
 *   last_*      when the layer before ended */
struct job {
    int64_t n_inputs, n_fed, n_tensors, n_samples;
    const int64_t *sizes;
    void *tensors[MAX_TENSORS], *arena, *workspace;
    const uint8_t *records;
    uint8_t *outputs, *traced, *traced_end;
    const int64_t *sources;
    int64_t n_sources;
    int64_t *times, *cycles, run, n_runs;
    struct cycles counter;
    int64_t last_ns, last_cycles;
    int fault;
};

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The tensor of an argument, or NULL. */
static const DLTensor *tensor(const TVMFFIAny *argument, int bits, int n_dims) {
    if (argument->type_index != kTVMFFIDLTensorPtr) return NULL;
    const DLTensor *found = argument->v_ptr;
    return found->dtype.bits == bits && found->ndim == n_dims ? found : NULL;
}

static void *data(const DLTensor *t) { return (uint8_t *)t->data + t->byte_offset; }

static void *allocate(size_t nbytes) {
    void *p = NULL;
    return posix_memalign(&p, ALIGNMENT, nbytes ? nbytes : 1) == 0 ? p : NULL;
}

static void start_timing(struct job *job) {
    if (!job->times) return;
    job->last_cycles = (int64_t)read_cycles(&job->counter).value;
    job->last_ns = now_ns();
}

static void stop_timing(struct job *job, int64_t row) {
    if (!job->times) return;
    const int64_t at = row * job->n_runs + job->run;
    job->times[at] = now_ns() - job->last_ns;
    job->cycles[at] = (int64_t)read_cycles(&job->counter).value - job->last_cycles;
}

static void observe(void *user, int32_t layer, const void *output, size_t nbytes) {
    struct job *job = user;
    stop_timing(job, layer);
    if (job->traced) {
        if (nbytes > (size_t)(job->traced_end - job->traced)) {
            job->fault = OTHER_LAYERS;
        } else {
            if (model_read_layer)
                model_read_layer(layer, output, job->traced);
            else
                memcpy(job->traced, output, nbytes);
            job->traced += nbytes;
        }
    }
    start_timing(job);
}

/* Read the arguments that all calls have; whoever calls frees the job, whatever is returned. */
static int open_job(struct job *job, const TVMFFIAny *args, int32_t n_args, int32_t wanted) {
    memset(job, 0, sizeof *job);
    if (n_args != wanted || args[2].type_index != kTVMFFIInt || args[3].type_index != kTVMFFIInt)
        return BAD_CALL;
    const DLTensor *records = tensor(&args[0], 8, 2), *sizes = tensor(&args[1], 64, 1);
    const DLTensor *outputs = tensor(&args[4], 8, 2);
    if (!records || !sizes || !outputs || sizes->shape[0] > MAX_TENSORS) return BAD_CALL;
    job->n_inputs = args[2].v_int64;
    job->n_fed = args[3].v_int64;
    job->sizes = data(sizes);
    job->n_samples = records->shape[0];
    job->records = data(records);
    job->outputs = data(outputs);
    if (job->n_inputs > job->n_fed || job->n_fed > sizes->shape[0]) return BAD_CALL;
    int64_t fed_bytes = 0, made_bytes = 0;
    for (int64_t i = 0; i < sizes->shape[0]; i++)
        *(i < job->n_fed ? &fed_bytes : &made_bytes) += job->sizes[i];
    if (records->shape[1] != fed_bytes || outputs->shape[1] != made_bytes ||
        outputs->shape[0] != job->n_samples)
        return BAD_CALL;
    for (; job->n_tensors < sizes->shape[0]; job->n_tensors++)
        if (!(job->tensors[job->n_tensors] = allocate((size_t)job->sizes[job->n_tensors])))
            return NO_MEMORY;
    if (!(job->arena = allocate(model_arena_bytes))) return NO_MEMORY;
    return 0;
}

/* The tensors of the link; none if the argument is empty. */
static int open_link(struct job *job, const TVMFFIAny *argument) {
    const DLTensor *sources = tensor(argument, 64, 1);
    if (!sources || sources->shape[0] > MAX_TENSORS) return BAD_CALL;
    job->sources = data(sources);
    job->n_sources = sources->shape[0];
    for (int64_t i = 0; i < job->n_sources; i++)
        if (job->sources[i] < 0 || job->sources[i] >= job->n_tensors) return BAD_CALL;
    if (job->n_sources == 0) return 0;
    if (!model_encode_link || !model_link_workspace || !model_link_bound) return NO_LINK;
    job->workspace = allocate(model_link_workspace());
    return job->workspace ? 0 : NO_MEMORY;
}

static void read_sample(struct job *job) {
    for (int64_t i = 0; i < job->n_fed; i++) {
        memcpy(job->tensors[i], job->records, (size_t)job->sizes[i]);
        job->records += job->sizes[i];
    }
}

static void write_sample(struct job *job) {
    for (int64_t i = job->n_fed; i < job->n_tensors; i++) {
        memcpy(job->outputs, job->tensors[i], (size_t)job->sizes[i]);
        job->outputs += job->sizes[i];
    }
}

static int run_sample(struct job *job) {
    const int observed = job->traced || job->times;
    start_timing(job);
    int32_t status =
        model_run_observed((const void *const *)job->tensors, job->tensors + job->n_fed,
                           job->arena, observed ? observe : NULL, job);
    return status ? status : job->fault;
}

static size_t encode(const struct job *job, uint8_t *frame, size_t capacity) {
    const void *tensors[MAX_TENSORS];
    for (int64_t i = 0; i < job->n_sources; i++) tensors[i] = job->tensors[job->sources[i]];
    return model_encode_link(job->workspace, tensors, frame, capacity);
}

static int finish(struct job *job, int status, TVMFFIAny *result) {
    for (int64_t i = 0; i < job->n_tensors; i++) free(job->tensors[i]);
    free(job->arena);
    free(job->workspace);
    result->type_index = kTVMFFIInt;
    result->zero_padding = 0;
    result->v_int64 = status;
    return 0; /* an error of TVM would need its library */
}

int __tvm_ffi_frame_capacity(void *self, const TVMFFIAny *args, int32_t n_args,
                             TVMFFIAny *result) {
    (void)self, (void)args, (void)n_args;
    struct job none = {0};
    return finish(&none, model_link_bound ? (int)model_link_bound() : NO_LINK, result);
}

int __tvm_ffi_run(void *self, const TVMFFIAny *args, int32_t n_args, TVMFFIAny *result) {
    (void)self;
    struct job job;
    int status = open_job(&job, args, n_args, 5);
    for (int64_t i = 0; status == 0 && i < job.n_samples; i++) {
        read_sample(&job);
        status = run_sample(&job);
        write_sample(&job);
    }
    return finish(&job, status, result);
}

int __tvm_ffi_trace(void *self, const TVMFFIAny *args, int32_t n_args, TVMFFIAny *result) {
    (void)self;
    struct job job;
    int status = open_job(&job, args, n_args, 6);
    const DLTensor *traced = status == 0 ? tensor(&args[5], 8, 2) : NULL;
    if (status == 0 && (!traced || traced->shape[0] != job.n_samples)) status = BAD_CALL;
    for (int64_t i = 0; status == 0 && i < job.n_samples; i++) {
        job.traced = (uint8_t *)data(traced) + i * traced->shape[1];
        job.traced_end = job.traced + traced->shape[1];
        read_sample(&job);
        status = run_sample(&job);
        write_sample(&job);
        if (status == 0 && job.traced != job.traced_end) status = OTHER_LAYERS;
    }
    return finish(&job, status, result);
}

int __tvm_ffi_send(void *self, const TVMFFIAny *args, int32_t n_args, TVMFFIAny *result) {
    (void)self;
    struct job job;
    int status = open_job(&job, args, n_args, 8);
    if (status == 0) status = open_link(&job, &args[5]);
    const DLTensor *frames = status == 0 ? tensor(&args[6], 8, 2) : NULL;
    const DLTensor *counts = status == 0 ? tensor(&args[7], 64, 1) : NULL;
    if (status == 0 && (!frames || !counts || !job.workspace || frames->shape[0] != job.n_samples ||
                        counts->shape[0] != job.n_samples))
        status = BAD_CALL;
    for (int64_t i = 0; status == 0 && i < job.n_samples; i++) {
        read_sample(&job);
        status = run_sample(&job);
        write_sample(&job);
        if (status != 0) break;
        const size_t capacity = (size_t)frames->shape[1];
        const size_t nbytes =
            encode(&job, (uint8_t *)data(frames) + (size_t)i * capacity, capacity);
        ((int64_t *)data(counts))[i] = (int64_t)nbytes;
        if (nbytes == 0) status = NOT_FINITE;
    }
    return finish(&job, status, result);
}

int __tvm_ffi_profile(void *self, const TVMFFIAny *args, int32_t n_args, TVMFFIAny *result) {
    (void)self;
    struct job job;
    uint8_t *frame = NULL;
    int status = open_job(&job, args, n_args, 9);
    if (status == 0) status = open_link(&job, &args[5]);
    const DLTensor *times = status == 0 ? tensor(&args[6], 64, 2) : NULL;
    const DLTensor *cycles = status == 0 ? tensor(&args[7], 64, 2) : NULL;
    const DLTensor *reason = status == 0 ? tensor(&args[8], 8, 1) : NULL;
    const int64_t rows = (int64_t)model_num_layers + (job.n_sources > 0);
    if (status == 0 &&
        (!times || !cycles || !reason || job.n_samples != 1 || times->shape[0] != rows ||
         cycles->shape[0] != rows || cycles->shape[1] != times->shape[1] ||
         reason->shape[0] < (int64_t)sizeof job.counter.reason))
        status = BAD_CALL;
    if (status == 0 && job.n_sources && !(frame = allocate(model_link_bound()))) status = NO_MEMORY;
    if (status == 0) {
        job.times = data(times);
        job.cycles = data(cycles);
        job.n_runs = times->shape[1];
        open_cycles(&job.counter);
        read_sample(&job);
        for (; status == 0 && job.run < job.n_runs; job.run++) {
            status = run_sample(&job);
            if (status != 0 || !job.n_sources) continue;
            start_timing(&job);
            if (encode(&job, frame, model_link_bound()) == 0) status = NOT_FINITE;
            stop_timing(&job, model_num_layers);
        }
        write_sample(&job);
        close_cycles(&job.counter);
        memcpy(data(reason), job.counter.reason, sizeof job.counter.reason);
    }
    free(frame);
    return finish(&job, status, result);
}
