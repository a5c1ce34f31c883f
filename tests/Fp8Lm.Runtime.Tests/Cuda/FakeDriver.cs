using System.ComponentModel;
using System.Diagnostics;
using System.IO;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>A driver library with no GPU behind it, for messages about machines that tests do not have.</summary>
internal static class FakeDriver
{
    private const string Source = """
        #include <stdlib.h>
        #include <string.h>
        static int mode(const char* name) { const char* m = getenv("FAKE_CUDA"); return m && !strcmp(m, name); }
        int cuInit(unsigned flags) { return mode("no-device") ? 100 : mode("broken") ? 803 : 0; }
        int cuDeviceGetCount(int* count) { *count = 1; return 0; }
        int cuDeviceGet(int* device, int ordinal) { *device = ordinal; return 0; }
        int cuDeviceGetAttribute(int* value, int attribute, int device) { *value = attribute == 75 ? 8 : 0; return 0; }
        int cuDeviceGetName(char* name, int length, int device) { strncpy(name, "Fake GPU", length); return 0; }
        int cuGetErrorName(int error, const char** text) { *text = "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"; return 0; }
        int cuGetErrorString(int error, const char** text) { *text = "driver and library do not match"; return 0; }
        """;

    /// <summary>Path of the library, or null where no C compiler is installed.</summary>
    public static string? Build()
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
            return compiler.ExitCode == 0 ? library : null;
        }
        catch (Win32Exception)
        {
            return null;
        }
    }
}
