using System.ComponentModel;
using System.Diagnostics;
using System.IO;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>A driver library with no GPU behind it, for messages about machines and failures that tests do not have. Device memory is host memory; kernels do nothing.</summary>
internal static class FakeDriver
{
    private const string Source = """
        #include <stdlib.h>
        #include <string.h>
        static int mode(const char* name) { const char* m = getenv("FAKE_CUDA"); return m && !strcmp(m, name); }
        int cuInit(unsigned flags) { return mode("no-device") ? 100 : mode("broken") ? 803 : 0; }
        int cuDeviceGetCount(int* count) { *count = 1; return 0; }
        int cuDeviceGet(int* device, int ordinal) { *device = ordinal; return 0; }
        int cuDeviceGetAttribute(int* value, int attribute, int device) { *value = attribute == 75 ? (mode("ampere") ? 8 : 9) : attribute == 16 ? 132 : 0; return 0; }
        int cuDeviceGetName(char* name, int length, int device) { strncpy(name, "Fake GPU", length); return 0; }
        int cuGetErrorName(int error, const char** text) { *text = error == 803 ? "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" : error == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_INVALID_VALUE"; return 0; }
        int cuGetErrorString(int error, const char** text) { *text = error == 803 ? "driver and library do not match" : "as a test wants it"; return 0; }
        static int launches;
        int cuDeviceTotalMem_v2(size_t* bytes, int device) { *bytes = (size_t)1 << 30; return 0; }
        int cuDevicePrimaryCtxRetain(void** context, int device) { *context = &launches; return 0; }
        int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
        int cuCtxSetCurrent(void* context) { return 0; }
        int cuMemGetInfo_v2(size_t* free, size_t* total) { *free = *total = (size_t)1 << 30; return 0; }
        int cuMemAlloc_v2(void** address, size_t bytes) { *address = aligned_alloc(256, (bytes + 255) / 256 * 256); return 0; }
        int cuMemFree_v2(void* address) { free(address); return 0; }
        int cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t bytes, void* stream) { memcpy(to, from, bytes); return 0; }
        int cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t bytes, void* stream) { memcpy(to, from, bytes); return 0; }
        int cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t bytes, void* stream) { memmove(to, from, bytes); return 0; }
        int cuMemsetD8Async(void* at, unsigned char value, size_t bytes, void* stream) { memset(at, value, bytes); return 0; }
        int cuStreamCreate(void** stream, unsigned flags) { *stream = &launches; return 0; }
        int cuStreamSynchronize(void* stream) { return launches && mode("kernel-fails") ? 700 : 0; }
        int cuStreamDestroy_v2(void* stream) { return 0; }
        int cuModuleLoadData(void** module, const void* image) { *module = &launches; return 0; }
        int cuModuleUnload(void* module) { return 0; }
        int cuModuleGetFunction(void** function, void* module, const char* name) { *function = &launches; return 0; }
        int cuModuleGetGlobal_v2(void** address, size_t* bytes, void* module, const char* name) { return 500; }
        int cuStreamBeginCapture_v2(void* stream, int mode) { return 0; }
        int cuStreamEndCapture(void* stream, void** graph) { *graph = &launches; return 0; }
        int cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long flags) { *executable = &launches; return 0; }
        int cuGraphDestroy(void* graph) { return 0; }
        int cuGraphUpload(void* executable, void* stream) { return 0; }
        int cuGraphLaunch(void* executable, void* stream) { return 0; }
        int cuGraphExecDestroy(void* executable) { return 0; }
        int cuEventCreate(void** event, unsigned flags) { *event = &launches; return 0; }
        int cuEventRecord(void* event, void* stream) { return 0; }
        int cuEventSynchronize(void* event) { return 0; }
        int cuEventDestroy_v2(void* event) { return 0; }
        int cuEventElapsedTime(float* milliseconds, void* start, void* end) { *milliseconds = 1; return 0; }

        /* A letter for every launch: overlapping with the kernel before it, after it, or with attributes that this driver does not know. */
        static char seen[64];
        const char* fake_launches() { return seen; }
        static char attributes_of(const char* config)
        {
            const int* attribute = *(const int**)(config + 40);
            unsigned count = *(const unsigned*)(config + 48);
            return count == 0 ? 'a' : count == 1 && attribute[0] == 6 && attribute[2] == 1 ? 'o' : '?';
        }

        int cuLaunchKernelEx(const void* config, void* function, void** parameters, void** extra)
        {
            if (launches < (int)sizeof(seen) - 1) seen[launches] = attributes_of(config);
            if (launches++ && mode("kernel-fails")) return 700;
            return mode("launch-fails") ? 1 : 0;
        }
        """;

    /// <summary>Path of the library. The tests need a C compiler for it, as the README says.</summary>
    public static string Build()
    {
        string library = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName() + ".so");
        try
        {
            ProcessStartInfo start = new("cc") { RedirectStandardInput = true };
            foreach (string argument in new[] { "-shared", "-fPIC", "-x", "c", "-o", library, "-" })
            {
                start.ArgumentList.Add(argument);
            }

            using Process compiler = Process.Start(start)!;
            compiler.StandardInput.Write(Source);
            compiler.StandardInput.Close();
            compiler.WaitForExit();
            Assert.True(compiler.ExitCode == 0, $"cc could not build the driver of this test: it ended with {compiler.ExitCode}.");
            return library;
        }
        catch (Win32Exception missing)
        {
            throw new FileNotFoundException("This test builds a driver that fails on purpose and found no C compiler. Install one (gcc or clang) so that cc is on the PATH.", missing);
        }
    }
}
