using System;
using System.Runtime.InteropServices;
using Fp8Lm.Cuda.Interop;

namespace Fp8Lm.Cuda;

/// <summary>A call of the CUDA driver or of NVRTC failed, or the machine lacks what the CUDA back end needs.</summary>
public sealed class CudaException : Exception
{
    // CUDA_ERROR_ILLEGAL_ADDRESS to CUDA_ERROR_LAUNCH_FAILED.
    private const int FirstKernelError = 700, LastKernelError = 719;

    /// <summary>Creates the exception with a message for the user.</summary>
    public CudaException(string message)
        : base(message)
    {
    }

    /// <summary>Creates an exception without a message.</summary>
    public CudaException()
    {
    }

    /// <summary>Creates the exception with a message and its cause.</summary>
    public CudaException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>Throws unless a driver call succeeded.</summary>
    internal static void ThrowIfFailed(int result, string action)
    {
        if (result != 0)
        {
            throw new CudaException($"{action}: {Describe(result)}.{HintOf(result)}");
        }
    }

    /// <summary>Errors of kernels come to light at some later call, even the launch of another kernel.</summary>
    internal static string HintOf(int result) =>
        result is >= FirstKernelError and <= LastKernelError ? " A kernel that was queued before has failed; FP8LM_CHECK=1 names it." : "";

    /// <summary>Name and text of a driver result.</summary>
    internal static unsafe string Describe(int result)
    {
        string name = CudaDriver.GetErrorName(result, out byte* namePointer) == 0 ? Marshal.PtrToStringUTF8((nint)namePointer)! : $"error {result}";
        string text = CudaDriver.GetErrorString(result, out byte* textPointer) == 0 ? Marshal.PtrToStringUTF8((nint)textPointer)! : "unknown";
        return $"{name} ({text})";
    }
}
