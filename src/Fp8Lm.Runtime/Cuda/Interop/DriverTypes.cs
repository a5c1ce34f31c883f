using System.Runtime.InteropServices;

namespace Fp8Lm.Cuda.Interop;

/// <summary>CUdevice_attribute, the values used.</summary>
internal enum DeviceAttribute
{
    MultiprocessorCount = 16,
    ComputeCapabilityMajor = 75,
    ComputeCapabilityMinor = 76,
}

/// <summary>CUfunction_attribute, the values used.</summary>
internal enum FunctionAttribute
{
    MaxDynamicSharedSizeBytes = 8,
}

/// <summary>CUstreamCaptureMode, the value used: what other threads do with the driver does not end the capture.</summary>
internal enum CaptureMode
{
    ThreadLocal = 1,
}

/// <summary>CUtensorMapDataType, the values used; FP8 travels as <see cref="UInt8"/>.</summary>
internal enum TensorMapDataType
{
    UInt8 = 0,
    Float16 = 6,
    BFloat16 = 9,
}

/// <summary>CUtensorMapSwizzle, the value used.</summary>
internal enum TensorMapSwizzle
{
    Bytes128 = 3,
}

/// <summary>CUtensorMapL2promotion, the value used.</summary>
internal enum TensorMapL2Promotion
{
    Bytes256 = 3,
}

/// <summary>CUtensorMap: 128 opaque bytes; the driver wants the address to be a multiple of 64.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal unsafe struct TensorMap
{
    public const int Bytes = 128;
    public const int Alignment = 64;

    private fixed ulong words[Bytes / sizeof(ulong)];
}

/// <summary>CUlaunchAttribute: a number that says what it is, and a union of 64 bytes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 72)]
internal struct LaunchAttribute
{
    [FieldOffset(0)]
    private int id;

    [FieldOffset(8)]
    private uint x;

    [FieldOffset(12)]
    private uint y;

    [FieldOffset(16)]
    private uint z;

    /// <summary>CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION: this many adjacent blocks of the grid make a cluster.</summary>
    public static LaunchAttribute Cluster(uint blocks) => new() { id = 4, x = blocks, y = 1, z = 1 };

    /// <summary>CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION: the kernel itself waits for the one before it on the stream.</summary>
    public static LaunchAttribute ProgrammaticStreamSerialization => new() { id = 6, x = 1 };
}

/// <summary>CUlaunchConfig.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LaunchConfig
{
    public uint GridX;
    public uint GridY;
    public uint GridZ;
    public uint BlockX;
    public uint BlockY;
    public uint BlockZ;
    public uint SharedBytes;
    public nint Stream;
    public LaunchAttribute* Attributes;
    public uint AttributeCount;
}
