// SIGMA_WIDE_CLONES before a function: compiled for the plain instruction set and for wider vectors too, chosen when
// the program is loaded. For loops over integers, whose results are the same bits in all of them.
#pragma once

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define SIGMA_WIDE_CLONES __attribute__((target_clones("arch=skylake-avx512", "avx2", "default")))
#else
#define SIGMA_WIDE_CLONES
#endif
