/* A stand-in for the NVIDIA driver's library, with GPUs that a test makes up.

   FAKE_GPUS has one GPU a line: name|major|minor|total|reserved|free, sizes in MiB. The UUIDs are
   GPU-0, GPU-1, ... FAKE_CUDA is the newest CUDA, as 1000 * major + 10 * minor; if FAKE_ERROR is
   set, it is what nvmlInit returns. Signatures are those of NVIDIA's nvml.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char name[96];
    int major, minor;
    unsigned long long total, reserved, free;
} Gpu;

typedef struct {
    unsigned int version;
    unsigned long long total, reserved, free, used;
} Memory;

enum { SUCCESS = 0, INVALID_ARGUMENT = 2 };

static Gpu gpus[16];
static unsigned int count;

int nvmlInitWithFlags(unsigned int flags) {
    const char *error = getenv("FAKE_ERROR"), *line = getenv("FAKE_GPUS");
    (void)flags;
    if (error) return atoi(error);
    for (count = 0; line && *line && count < 16; count++) {
        Gpu *gpu = &gpus[count];
        sscanf(line, "%95[^|]|%d|%d|%llu|%llu|%llu", gpu->name, &gpu->major, &gpu->minor,
               &gpu->total, &gpu->reserved, &gpu->free);
        line = strchr(line, '\n');
        line = line ? line + 1 : "";
    }
    return SUCCESS;
}

int nvmlShutdown(void) { return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned int *result) {
    *result = count;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, Gpu **result) {
    if (index >= count) return INVALID_ARGUMENT;
    *result = &gpus[index];
    return SUCCESS;
}

int nvmlDeviceGetName(Gpu *gpu, char *result, unsigned int length) {
    snprintf(result, length, "%s", gpu->name);
    return SUCCESS;
}

int nvmlDeviceGetUUID(Gpu *gpu, char *result, unsigned int length) {
    snprintf(result, length, "GPU-%d", (int)(gpu - gpus));
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(Gpu *gpu, Memory *result) {
    result->total = gpu->total << 20;
    result->reserved = gpu->reserved << 20;
    result->free = gpu->free << 20;
    result->used = (gpu->total - gpu->reserved - gpu->free) << 20;
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(Gpu *gpu, int *major, int *minor) {
    *major = gpu->major;
    *minor = gpu->minor;
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion_v2(int *result) {
    const char *cuda = getenv("FAKE_CUDA");
    *result = cuda ? atoi(cuda) : 13000;
    return SUCCESS;
}

int nvmlSystemGetDriverVersion(char *result, unsigned int length) {
    snprintf(result, length, "570.86.10");
    return SUCCESS;
}
