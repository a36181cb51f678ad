/* ONNX Runtime through its C API, with the options of agents/backends/onnxruntime.py.
 *
 * The wheel has the library but not its header. OrtApi is a table of functions that only ever grows
 * at its end, so that the few of its first version needed here are declared by their place in it;
 * that they are the right ones shows in the outputs, which the benchmark compares.
 */
#include "loop.h"

#include <stdint.h>
#include <stdlib.h>

typedef void *Status; /* null: success */
typedef struct {
    const void *const *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
} ApiBase;
extern const ApiBase *OrtGetApiBase(void);

enum {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_SESSION_LOG_SEVERITY_LEVEL = 22,
    SET_INTRA_OP_NUM_THREADS = 24,
    SET_INTER_OP_NUM_THREADS = 25,
    CREATE_TENSOR_WITH_DATA = 49,
    CREATE_CPU_MEMORY_INFO = 69,
};
enum { VERSION = 1, LOG_ERRORS = 3, ARENA_ALLOCATOR = 1, DEFAULT_MEMORY = 0, FLOAT = 1 };

typedef const char *(*GetErrorMessage)(const void *status);
typedef Status (*CreateEnv)(int level, const char *name, void **out);
typedef Status (*CreateSessionOptions)(void **out);
typedef Status (*SetOption)(void *options, int value);
typedef Status (*CreateSession)(const void *env, const char *path, const void *options, void **out);
typedef Status (*CreateCpuMemoryInfo)(int allocator, int memory, void **out);
typedef Status (*CreateTensorWithData)(const void *memory, void *data, size_t bytes,
                                       const int64_t *shape, size_t rank, int type, void **out);
typedef Status (*Run)(void *session, const void *options, const char *const *input_names,
                      const void *const *inputs, size_t input_count,
                      const char *const *output_names, size_t output_count, void **outputs);

static const void *const *api;
static void *session, *input, *output;
static float *answers;
static Run run;

static void check(Status status, const char *what) {
    if (status) fail(what, ((GetErrorMessage)api[GET_ERROR_MESSAGE])(status));
}

static void *tensor(void *memory, float *data, size_t rank, const long *shape) {
    int64_t wide[8];
    void *made;
    size_t bytes = count(rank, shape) * sizeof *data;
    for (size_t at = 0; at < rank; at++) wide[at] = shape[at];
    check(((CreateTensorWithData)api[CREATE_TENSOR_WITH_DATA])(memory, data, bytes, wide, rank,
                                                               FLOAT, &made),
          "tensor");
    return made;
}

void model_open(const char *path, float *given, size_t input_rank, const long *input_shape,
                size_t output_rank, const long *output_shape) {
    void *env, *options, *memory;
    api = OrtGetApiBase()->get_api(VERSION);
    check(((CreateEnv)api[CREATE_ENV])(LOG_ERRORS, "loop", &env), "environment");
    check(((CreateSessionOptions)api[CREATE_SESSION_OPTIONS])(&options), "options");
    check(((SetOption)api[SET_INTRA_OP_NUM_THREADS])(options, 1), "threads");
    check(((SetOption)api[SET_INTER_OP_NUM_THREADS])(options, 1), "threads");
    check(((SetOption)api[SET_SESSION_LOG_SEVERITY_LEVEL])(options, LOG_ERRORS), "log level");
    check(((CreateSession)api[CREATE_SESSION])(env, path, options, &session), "session");
    check(((CreateCpuMemoryInfo)api[CREATE_CPU_MEMORY_INFO])(ARENA_ALLOCATOR, DEFAULT_MEMORY,
                                                             &memory),
          "memory");
    size_t bytes = count(output_rank, output_shape) * sizeof *answers;
    if (posix_memalign((void **)&answers, 64, bytes + 64)) fail("output", "no memory");
    input = tensor(memory, given, input_rank, input_shape);
    output = tensor(memory, answers, output_rank, output_shape);
    run = (Run)api[RUN];
}

void model_infer(void) {
    static const char *const input_names[] = {"x"}, *const output_names[] = {"y"};
    const void *inputs[] = {input};
    check(run(session, NULL, input_names, inputs, 1, output_names, 1, &output), "run");
}

const float *model_output(void) { return answers; }
