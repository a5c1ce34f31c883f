using System;
using System.Collections.Generic;
using System.Globalization;
using System.Runtime.InteropServices;
using Fp8Lm.Cuda.Interop;
using Fp8Lm.Cuda.Jit;

namespace Fp8Lm.Cuda;

/// <summary>A GPU that can run the kernels.</summary>
/// <param name="Ordinal">The driver's number.</param>
/// <param name="Name">The product's name.</param>
/// <param name="Multiprocessors">Number of multiprocessors.</param>
/// <param name="MemoryBytes">Total memory.</param>
public sealed record CudaDevice(int Ordinal, string Name, int Multiprocessors, long MemoryBytes)
{
    // wgmma, TMA and setmaxnreg in the form used here exist on compute capability 9.0 alone; newer chips have other instructions.
    private const int RequiredMajor = 9;
    private const int RequiredMinor = 0;

    /// <summary>The first GPU that can run the kernels, or null and a sentence that says what is missing.</summary>
    public static CudaDevice? Find(out string problem)
    {
        // What is hardest to come by is looked for first, so that nobody installs NVRTC for a machine without a GPU.
        if (!NativeLibraries.TryLoad(NativeLibraries.Driver, out problem))
        {
            return null;
        }

        try
        {
            CudaDevice? device = FindHopper(out problem);
            return device is not null && KernelCompiler.IsAvailable(out problem) ? device : null;
        }
        catch (EntryPointNotFoundException exception)
        {
            problem = NativeLibraries.Incomplete(NativeLibraries.Driver, exception);
            return null;
        }
    }

    private static CudaDevice? FindHopper(out string problem)
    {
        List<string> seen = [];
        int result = CudaDriver.Init(0);
        const int NoDevice = 100;
        if (result != 0)
        {
            problem = result == NoDevice
                ? "The NVIDIA driver finds no GPU (CUDA_VISIBLE_DEVICES hides them all, or there is none). Use the CPU back end."
                : $"The NVIDIA driver does not start: {CudaException.Describe(result)}.";
            return null;
        }

        CudaException.ThrowIfFailed(CudaDriver.DeviceGetCount(out int count), "cuDeviceGetCount");
        for (int ordinal = 0; ordinal < count; ordinal++)
        {
            CudaException.ThrowIfFailed(CudaDriver.DeviceGet(out int device, ordinal), "cuDeviceGet");
            int major = Attribute(device, DeviceAttribute.ComputeCapabilityMajor);
            int minor = Attribute(device, DeviceAttribute.ComputeCapabilityMinor);
            string name = NameOf(device);
            if (major == RequiredMajor && minor == RequiredMinor)
            {
                CudaException.ThrowIfFailed(CudaDriver.DeviceTotalMem(out nuint bytes, device), "cuDeviceTotalMem");
                problem = "";
                return new CudaDevice(ordinal, name, Attribute(device, DeviceAttribute.MultiprocessorCount), (long)bytes);
            }

            seen.Add(string.Create(CultureInfo.InvariantCulture, $"{name} ({major}.{minor})"));
        }

        problem = seen.Count == 0
            ? "The NVIDIA driver finds no GPU. Use the CPU back end."
            : $"The CUDA back end needs compute capability 9.0 (H100, H200, GH200); found {string.Join(", ", seen)}. Use the CPU back end.";
        return null;
    }

    private static int Attribute(int device, DeviceAttribute attribute)
    {
        CudaException.ThrowIfFailed(CudaDriver.DeviceGetAttribute(out int value, attribute, device), "cuDeviceGetAttribute");
        return value;
    }

    private static unsafe string NameOf(int device)
    {
        const int Length = 128;
        byte* name = stackalloc byte[Length];
        CudaException.ThrowIfFailed(CudaDriver.DeviceGetName(name, Length, device), "cuDeviceGetName");
        return Marshal.PtrToStringUTF8((nint)name)!;
    }
}
