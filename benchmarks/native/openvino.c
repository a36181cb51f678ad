/* OpenVINO through its C API, with the options of agents/backends/openvino.py. */
#include "loop.h"

#include <openvino/c/openvino.h>
#include <string.h>

static ov_infer_request_t *request;

static void check(ov_status_e status, const char *what) {
    if (status) fail(what, ov_get_error_info(status));
}

void model_open(const char *path, float *given, size_t input_rank, const long *input_shape,
                size_t output_rank, const long *output_shape) {
    ov_core_t *core;
    ov_compiled_model_t *model;
    ov_tensor_t *tensor;
    void *data;
    size_t values;
    (void)output_rank, (void)output_shape;
    check(ov_core_create(&core), "core");
    check(ov_core_compile_model_from_file(core, path, "CPU", 10, &model, "PERFORMANCE_HINT",
                                          "LATENCY", "NUM_STREAMS", "1", "INFERENCE_NUM_THREADS",
                                          "1", "INFERENCE_PRECISION_HINT", "f32",
                                          "ENABLE_CPU_PINNING", "NO"),
          "compile");
    check(ov_compiled_model_create_infer_request(model, &request), "request");
    check(ov_infer_request_get_input_tensor(request, &tensor), "input");
    check(ov_tensor_get_size(tensor, &values), "input size");
    if (values != count(input_rank, input_shape)) fail("input", "another size than declared");
    check(ov_tensor_data(tensor, &data), "input data");
    memcpy(data, given, values * sizeof *given);
}

void model_infer(void) {
    ov_status_e status = ov_infer_request_infer(request);
    if (status) fail("infer", ov_get_error_info(status));
}

const float *model_output(void) {
    ov_tensor_t *tensor;
    void *data;
    check(ov_infer_request_get_output_tensor(request, &tensor), "output");
    check(ov_tensor_data(tensor, &data), "output data");
    return data;
}
