using System;
using System.Globalization;
using Fp8Lm.Collectives;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Collectives;

/// <summary>Check 1 of the fact sheet's section 8: the paper's volumes to the printed digit.</summary>
public class CommunicationVolumeTests
{
    private const double Gibibyte = 1L << 30;

    [Theory]
    [InlineData(32, 4096, 1, 1, 32, "37.2", "13.9", "37.15", "13.90")]
    [InlineData(40, 5120, 2, 1, 16, "34.3", "12.4", "34.33", "12.36")]
    [InlineData(96, 12288, 8, 4, 4, "23.4", "8.2", "23.44", "8.25")]
    public void Weights_of_table_5(int layers, int width, int tensor, int pipeline, int data, string bf16, string fp8, string bf16Closer, string fp8Closer)
    {
        var model = new ParallelGpt(layers, width, tensor, pipeline, data);
        double high = CommunicationVolume.WeightsBf16(model) / Gibibyte, low = CommunicationVolume.WeightsFp8(model) / Gibibyte;
        Assert.Equal((bf16, fp8), (Print(high, 1), Print(low, 1)));
        Assert.Equal((bf16Closer, fp8Closer), (Print(high, 2), Print(low, 2)));
    }

    [Theory]
    [InlineData(40, 5120, 2, 1, 16, 2, "4.7", "3.1")]
    [InlineData(96, 12288, 8, 4, 4, 1, "5.9", "3.9")]
    public void Activations_of_table_7(int layers, int width, int tensor, int pipeline, int data, int microBatch, string bf16, string fp8)
    {
        var model = new ParallelGpt(layers, width, tensor, pipeline, data);
        Assert.Equal(bf16, Print(CommunicationVolume.ActivationsBf16(model, 2048, microBatch) / Gibibyte, 1));
        Assert.Equal(fp8, Print(CommunicationVolume.ActivationsFp8(model, 2048, microBatch) / Gibibyte, 1));
    }

    [Fact]
    public void One_rank_sends_nothing()
    {
        var model = new ParallelGpt(12, 768, 1, 1, 1);
        Assert.Equal(0, CommunicationVolume.WeightsFp8(model) + CommunicationVolume.WeightsBf16(model));
        Assert.Equal(0, CommunicationVolume.ActivationsFp8(model, 2048, 1));
    }

    [Fact]
    public void Sizes_below_one_are_refused()
    {
        var model = new ParallelGpt(12, 768, 1, 1, 1);
        foreach (ParallelGpt bad in (ReadOnlySpan<ParallelGpt>)[model with { Layers = 0 }, model with { Width = 0 }, model with { Tensor = 0 },
            model with { Pipeline = -1 }, model with { Data = 0 }, model with { Vocabulary = 0 }])
        {
            Assert.Contains("at least 1", Assert.Throws<ArgumentException>(() => CommunicationVolume.WeightsFp8(bad)).Message);
            Assert.Contains("at least 1", Assert.Throws<ArgumentException>(() => CommunicationVolume.WeightsBf16(bad)).Message);
        }

        Assert.Contains("sequence is 0", Assert.Throws<ArgumentException>(() => CommunicationVolume.ActivationsFp8(model, 0, 1)).Message);
        Assert.Contains("microBatch is 0", Assert.Throws<ArgumentException>(() => CommunicationVolume.ActivationsBf16(model, 1, 0)).Message);
    }

    /// <summary>
    /// Two digits first, then the paper's one, ties to even. That is how 37.15 and 8.25 become 37.2 and 8.2; straight to one digit 37.146 and 8.253 would be
    /// 37.1 and 8.3. The other eight figures do not care.
    /// </summary>
    private static string Print(double value, int digits) =>
        Math.Round(Math.Round((decimal)value, 2), digits, MidpointRounding.ToEven).ToString("F" + digits, CultureInfo.InvariantCulture);
}
