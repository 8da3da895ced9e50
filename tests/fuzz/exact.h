/*
 * Memory that ends exactly where it says: one byte too many is seen by a sanitizer or, with
 * GUARD_PAGES, by the machine itself, because a page that nobody may touch follows.
 */
#ifndef EXACT_H
#define EXACT_H

#include <stdint.h>
#include <stdlib.h>

/* What a target made so far; replay prints it, so that machines and builds can be compared. */
extern uint32_t fuzz_made;

#ifdef GUARD_PAGES
#include <sys/mman.h>
#include <unistd.h>

/* The region starts with its own size; the memory lies at its end. */
static size_t exact_region_bytes(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (size + sizeof(size_t) + page - 1) / page * page + page;
}

static void *exact_allocate(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), region = exact_region_bytes(size);
    uint8_t *base = mmap(NULL, region, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED || mprotect(base + region - page, page, PROT_NONE) != 0)
        abort();
    return base + region - page - size;
}

static void exact_free(void *p, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), region = exact_region_bytes(size);

    if (p && munmap((uint8_t *)p + size + page - region, region) != 0)
        abort();
}
#else
static void *exact_allocate(size_t size)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        abort();
    return p;
}

static void exact_free(void *p, size_t size)
{
    (void)size;
    free(p);
}
#endif

#endif
