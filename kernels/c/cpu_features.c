/* Which instruction sets the kernels use on this machine; all of them have a plain form beside. */
#include "codec.h"

unsigned jc_cpu_features(void)
{
#if defined(__x86_64__)
    return (__builtin_cpu_supports("bmi2") ? JC_HAS_BMI2 : 0u) |
           (__builtin_cpu_supports("avx2") ? JC_HAS_AVX2 : 0u);
#elif defined(__ARM_NEON)
    return JC_HAS_NEON;
#else
    return 0;
#endif
}
