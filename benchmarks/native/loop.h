/* What a runtime's own file gives to the loop: a model with one float input and one float output. */
#include <stddef.h>

/* Loads a model for one thread; `given` are the input's values. Ends the process on an error. */
void model_open(const char *path, float *given, size_t input_rank, const long *input_shape,
                size_t output_rank, const long *output_shape);

/* One inference. */
void model_infer(void);

/* The values of the last inference. */
const float *model_output(void);

/* Ends the process with a message. */
void fail(const char *what, const char *why);

/* Number of values in a tensor. */
size_t count(size_t rank, const long *shape);
