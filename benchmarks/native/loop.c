/* A native timed loop that answers a worker's messages over pipes, one JSON line each.
 *
 *   loop MODEL INPUT_FILE INPUT_SHAPE OUTPUT_SHAPE       shapes as 1x3x8x8
 *
 * {"do": "block", "iterations": N} is answered with N times in ns, {"do": "outputs", ...} with the
 * first values of the last inference. Nothing but the inference is between the two clock readings.
 */
#define _GNU_SOURCE
#include "loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum { MAX_RANK = 8, SHOWN = 16, LINE = 4096 };

void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

size_t count(size_t rank, const long *shape) {
    size_t values = 1;
    for (size_t at = 0; at < rank; at++) values *= (size_t)shape[at];
    return values;
}

static size_t parse_shape(char *text, long *shape) {
    size_t rank = 0;
    for (char *part = strtok(text, "x"); part && rank < MAX_RANK; part = strtok(NULL, "x"))
        shape[rank++] = atol(part);
    return rank;
}

static float *read_values(const char *path, size_t values) {
    float *data = NULL;
    if (posix_memalign((void **)&data, 64, values * sizeof *data + 64)) fail(path, "no memory");
    FILE *file = fopen(path, "rb");
    if (!file || fread(data, sizeof *data, values, file) != values) fail(path, "cannot be read");
    fclose(file);
    return data;
}

static long long now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void answer_block(long iterations) {
    long long *samples = calloc((size_t)iterations, sizeof *samples);
    if (!samples) fail("block", "no memory");
    for (long at = 0; at < iterations; at++) {
        long long begin = now_ns();
        model_infer();
        samples[at] = now_ns() - begin;
    }
    printf("{\"ok\": [");
    for (long at = 0; at < iterations; at++) printf("%s%lld", at ? ", " : "", samples[at]);
    free(samples);
    printf("]}\n");
}

static void answer_outputs(size_t values) {
    const float *output = model_output();
    printf("{\"ok\": [");
    for (size_t at = 0; at < values && at < SHOWN; at++)
        printf("%s%.9g", at ? ", " : "", (double)output[at]);
    printf("]}\n");
}

int main(int arguments, char **values) {
    long input_shape[MAX_RANK], output_shape[MAX_RANK];
    char line[LINE];
    if (arguments != 5) fail("usage", "loop MODEL INPUT_FILE INPUT_SHAPE OUTPUT_SHAPE");
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* even while it is stopped */
    size_t input_rank = parse_shape(values[3], input_shape);
    size_t output_rank = parse_shape(values[4], output_shape);
    float *given = read_values(values[2], count(input_rank, input_shape));
    model_open(values[1], given, input_rank, input_shape, output_rank, output_shape);
    model_infer();
    while (fgets(line, sizeof line, stdin)) {
        char *iterations = strstr(line, "\"iterations\": ");
        if (iterations)
            answer_block(atol(iterations + strlen("\"iterations\": ")));
        else
            answer_outputs(count(output_rank, output_shape));
        fflush(stdout);
    }
    return 0;
}
