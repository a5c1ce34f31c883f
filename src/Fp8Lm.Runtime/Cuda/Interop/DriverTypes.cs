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

/// <summary>CUlaunchAttributeID, the values used.</summary>
internal enum LaunchAttributeId
{
    ClusterDimension = 4,
}

/// <summary>CUlaunchAttribute, whose value is a union of 64 bytes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 72)]
internal struct LaunchAttribute
{
    [FieldOffset(0)]
    public LaunchAttributeId Id;

    [FieldOffset(8)]
    public uint X;

    [FieldOffset(12)]
    public uint Y;

    [FieldOffset(16)]
    public uint Z;

    /// <summary>Adjacent blocks of the grid make clusters.</summary>
    public static LaunchAttribute Cluster(uint blocks) => new() { Id = LaunchAttributeId.ClusterDimension, X = blocks, Y = 1, Z = 1 };
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
    public void* Attributes;
    public uint AttributeCount;
}
