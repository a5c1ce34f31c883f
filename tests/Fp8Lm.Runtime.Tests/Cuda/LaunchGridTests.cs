using System.Runtime.InteropServices;
using Fp8Lm.Cuda;
using Fp8Lm.Cuda.Interop;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>Grids of products from what their modules say, without a GPU.</summary>
public sealed class LaunchGridTests
{
    private static readonly GemmOperandInfo Operand = new(ElementFormat.E4M3, true, _ => 32768);

    private static readonly KernelInfo Product = new("test", KernelKind.Gemm, "", null!, [], new GemmGeometry(_ => 3072, _ => 768, _ => 32768, Operand, Operand));

    [Theory]
    [InlineData(0, 1, 96)] // a block for each of 16 x 6 tiles
    [InlineData(128, 4, 128)] // clusters walk over the tiles, as many as run at a time
    public void BlocksAreThoseOfTilesOrClusters(uint blocks, uint cluster, uint expected)
    {
        LaunchTraits traits = new(512, 205936, 192, 128, blocks, cluster);
        Assert.Equal(new GridSize(expected, 1, 1), LaunchGrid.Of(Product, traits, new DimBinding(1, 1), 132));
        Assert.Equal(0u, expected % cluster);
    }

    /// <summary>As cuda.h has it: sizeof(CUlaunchAttribute), and where the launch configuration points to attributes and counts them.</summary>
    [Fact]
    public void AttributesLieWhereTheDriverLooks()
    {
        Assert.Equal(72, Marshal.SizeOf<LaunchAttribute>());
        Assert.Equal(56, Marshal.SizeOf<LaunchConfig>());
        Assert.Equal(40, (int)Marshal.OffsetOf<LaunchConfig>(nameof(LaunchConfig.Attributes)));
        Assert.Equal(48, (int)Marshal.OffsetOf<LaunchConfig>(nameof(LaunchConfig.AttributeCount)));
        byte[] words = MemoryMarshal.AsBytes([LaunchAttribute.Cluster(5)]).ToArray();
        Assert.Equal([4, 0, 0, 0], words[..4]);
        Assert.Equal([5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0], words[8..20]);
    }
}
