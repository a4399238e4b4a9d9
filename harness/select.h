/* select.h: which cases a command runs, on which devices, by which kernels. */
#ifndef BF_SELECT_H
#define BF_SELECT_H

#include "backend.h"
#include "case.h"

/* The options that check, bench and list share, as given. */
typedef struct bf_selection {
    const char *suites[64];
    int suite_count;
    const char *words[64]; /* positional: one case line cut into words, or op names */
    int word_count;
    const char *tier;     /* "smoke", "quick" (default), "full" */
    const char *kernel;   /* glob, NULL: all */
    const char *backends; /* comma list, NULL: all found */
    const char *require;  /* comma list, NULL: none */
    const char *weights;  /* GGUF file, NULL: none */
    const char *tensor;   /* with weights: glob on tensor names, NULL: all */
    const char *cases;    /* directory of the suites, NULL: found beside the binary */
    uint64_t seed;        /* overrides the cases' own when have_seed */
    int have_seed;
    int shard, shards; /* i of n, 1-based; 0: all */
    int tuned;         /* 1: no naive kernels */
    int best;          /* 1: only the highest rank of each path that accepts */
    int twins;         /* 1: the twins and their witnesses instead of the sound kernels */
} bf_selection;

/* The cases that match. Suites: those named; else all of the cases directory; else the one case on the command line. Zero
 * matches is an error (a filter that matches nothing must not print OK). */
int bf_select_cases(const bf_selection *, bf_case_list *, bf_error *);

/* The cases directory: --cases, $BF_CASES, ./cases, or ../cases beside the binary. Static storage. */
const char *bf_cases_directory(const char *wanted);

/* Devices of the wanted backends, discovered in a child process. Returns a BF_EXIT_ status: BF_EXIT_USAGE for an unknown
 * name, BF_EXIT_NO_DEVICE when a backend that was asked for or required has no device, with the cause in err. */
int bf_select_devices(const bf_selection *, bf_discovery *, bf_error *);

/* After a run: BF_EXIT_NO_DEVICE, with err, when a backend that was asked for or required by name had devices but none that
 * opened and proved itself (proved[i] of device i); else BF_EXIT_OK. */
int bf_select_proved(const bf_selection *, const bf_discovery *, const int proved[BF_MAX_DEVICES], bf_error *);

/* One kernel on one case. */
typedef struct bf_job {
    uint32_t case_index, kernel_index;
} bf_job;
typedef struct bf_job_list {
    bf_job *item;
    size_t count, room;
} bf_job_list;
/* Appends the jobs of a device in case order. Kernels whose processor features are missing are left out. */
int bf_select_jobs(const bf_selection *, const bf_case_list *, const bf_device *, bf_job_list *, bf_error *);

#endif
