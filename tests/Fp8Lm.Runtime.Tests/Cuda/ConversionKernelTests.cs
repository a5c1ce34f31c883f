using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>The GPU's casts against the bit-exact ones of the CPU back end.</summary>
public sealed class ConversionKernelTests
{
    private const string Casts = """
        #include <fp8lm/row/row.cuh>
        using namespace fp8lm;
        extern "C" __global__ void __launch_bounds__(row::kThreads)
        test(const float* x, e4m3* a, e5m2* b, bf16* c, f16* d, float* a_back, float* b_back, float* c_back, float* d_back)
        {
            const long long i = (long long)blockIdx.x * row::kThreads + threadIdx.x;
            store(a + i, x[i]);
            store(b + i, x[i]);
            store(c + i, x[i]);
            store(d + i, x[i]);
            a_back[i] = load(a + i);
            b_back[i] = load(b + i);
            c_back[i] = load(c + i);
            d_back[i] = load(d + i);
        }
        """;

    private const string Pairs = """
        #include <fp8lm/row/row.cuh>
        using namespace fp8lm;
        template <class T> __device__ bool same(const float* x, T* pair, T* quad)
        {
            store2(pair, x[0], x[1]);
            store2(pair + 2, x[2], x[3]);
            store4(quad, x[0], x[1], x[2], x[3]);
            bool equal = true;
            const float4 all = load4(quad);
            const float2 low = load2(pair), high = load2(pair + 2);
            const float values[8] = {all.x, all.y, all.z, all.w, low.x, low.y, high.x, high.y};
            for (int i = 0; i < 4; ++i)
            {
                const unsigned expected = __float_as_uint(round_to<T>(x[i]));
                equal &= __float_as_uint(values[i]) == expected && __float_as_uint(values[i + 4]) == expected;
            }
            return equal;
        }
        extern "C" __global__ void __launch_bounds__(row::kThreads) test(const float* x, int* wrong, e4m3* a, e5m2* b, bf16* c, f16* d)
        {
            const long long i = 4 * ((long long)blockIdx.x * row::kThreads + threadIdx.x);
            if (!same(x + i, a + 2 * i, a + 2 * i + 4) || !same(x + i, b + 2 * i, b + 2 * i + 4) || !same(x + i, c + 2 * i, c + 2 * i + 4)
                || !same(x + i, d + 2 * i, d + 2 * i + 4))
                atomicAdd(wrong, 1);
        }
        """;

    private const string FixedPoint = """
        #include <fp8lm/row/row.cuh>
        #include <fp8lm/common/octet.cuh>
        using namespace fp8lm;
        using T = fixed8<26, 203>;
        extern "C" __global__ void __launch_bounds__(row::kThreads) test(const float* x, T* octets, T* packs, T* singles, float* from_octets, float* from_packs, float* from_singles)
        {
            const long long i = 8 * ((long long)blockIdx.x * row::kThreads + threadIdx.x);
            float values[8], back[8];
            row::Floats<4> half[2];
            for (int e = 0; e < 8; ++e)
                values[e] = half[e / 4][e % 4] = x[i + e];
            store_octet<true>(octets + i, pack<T>(values), 8);
            unpack(load_octet<true>(octets + i, 8), back);
            for (int e = 0; e < 8; ++e)
            {
                from_octets[i + e] = back[e];
                store(singles + i + e, values[e]);
                from_singles[i + e] = load(singles + i + e);
            }
            for (int h = 0; h < 2; ++h)
            {
                row::store(packs + i + 4 * h, half[h]);
                const row::Floats<4> read = row::load<4>(packs + i + 4 * h);
                for (int e = 0; e < 4; ++e)
                    from_packs[i + 4 * h + e] = read[e];
            }
        }
        """;

    private const string Numbers = """
        #include <fp8lm/row/row.cuh>
        using namespace fp8lm;
        extern "C" __global__ void __launch_bounds__(row::kThreads) test(const unsigned* keys, float* out)
        {
            const long long i = (long long)blockIdx.x * row::kThreads + threadIdx.x;
            out[i] = uniform(keys[i], (unsigned)i * 2654435761u);
        }
        """;

    /// <summary>Every sign, exponent and eleven leading mantissa bits, with tails around the halfway points of all formats.</summary>
    [Fact]
    public void CastsAreBitExact()
    {
        float[] x = [.. Inputs()];
        int count = x.Length;
        using KernelHarness harness = Row(
            Casts, count / 512 * 16, ["x", "a", "b", "c", "d", "a_back", "b_back", "c_back", "d_back"],
            new TestBuffer(ElementFormat.F32, count), new TestBuffer(ElementFormat.E4M3, count), new TestBuffer(ElementFormat.E5M2, count),
            new TestBuffer(ElementFormat.BF16, count), new TestBuffer(ElementFormat.F16, count), new TestBuffer(ElementFormat.F32, count),
            new TestBuffer(ElementFormat.F32, count), new TestBuffer(ElementFormat.F32, count), new TestBuffer(ElementFormat.F32, count));
        harness.Upload(0, x);
        harness.LaunchOnBuffers();

        Compare(x, harness.Download<byte>(1), E4M3.FromSingle, harness.Download<float>(5), E4M3.ToSingle, "E4M3");
        Compare(x, harness.Download<byte>(2), E5M2.FromSingle, harness.Download<float>(6), E5M2.ToSingle, "E5M2");
        Compare(x, harness.Download<ushort>(3), BFloat16.FromSingle, harness.Download<float>(7), BFloat16.ToSingle, "BF16");
        Compare(x, harness.Download<ushort>(4), Float16.FromSingle, harness.Download<float>(8), Float16.ToSingle, "F16");
    }

    [Fact]
    public void PairsAndQuadsCastAsSingles()
    {
        float[] x = [.. Inputs().Where(float.IsFinite).Take(1 << 20)];
        using KernelHarness harness = Row(
            Pairs, x.Length / 4 / 512 * 16, ["x", "wrong", "a", "b", "c", "d"], new TestBuffer(ElementFormat.F32, x.Length),
            new TestBuffer(ElementFormat.I32, 1), new TestBuffer(ElementFormat.E4M3, 2 * x.Length), new TestBuffer(ElementFormat.E5M2, 2 * x.Length),
            new TestBuffer(ElementFormat.BF16, 2 * x.Length), new TestBuffer(ElementFormat.F16, 2 * x.Length));
        harness.Upload(0, x);
        harness.Upload(1, new int[1]);
        harness.LaunchOnBuffers();

        Assert.Equal(0, harness.Download<int>(1)[0]);
    }

    /// <summary>
    /// Moments in groups (COAT): scales, exponents, bytes and values that are read back, for groups of every range, groups with zeros, subnormal numbers and numbers that are not finite.
    /// </summary>
    [Theory]
    [InlineData(ElementFormat.E4M3)]
    [InlineData(ElementFormat.E5M2)]
    public void GroupsOfMomentsAreBitExact(ElementFormat format)
    {
        const int Groups = 512, Width = 4;
        var random = new Random(4);
        float[] x = [.. Enumerable.Range(0, Groups * MomentGroup.Elements).Select(i =>
            (float)((random.NextDouble() - 0.5) * Math.Pow(2, (i / MomentGroup.Elements % 37 * random.NextDouble()) - (i / MomentGroup.Elements % 97))) * (i % 7 == 0 ? random.Next(2) : 1))];
        Array.Clear(x, 0, MomentGroup.Elements);
        Array.Fill(x, -3e-5f, MomentGroup.Elements, MomentGroup.Elements);
        (x[300], x[400], x[401], x[700], x[800]) = (float.NaN, 1e-40f, 1e-38f, float.NegativeInfinity, 3e38f);
        MomentGroup[] before = [.. Enumerable.Repeat(new MomentGroup { Amax = 0.25f, Root = 0.7f }, Groups)];
        using KernelHarness harness = Row(
            KernelTexts.MomentGroups(format.CudaName()), x.Length / Width / 512 * 16, ["x", "groups", "bytes", "back"], new TestBuffer(ElementFormat.F32, x.Length),
            new TestBuffer(ElementFormat.F32, 2 * Groups), new TestBuffer(format, x.Length), new TestBuffer(ElementFormat.F32, x.Length));
        harness.Upload(0, x);
        harness.Upload(1, before);
        harness.LaunchOnBuffers();

        byte[] bytes = new byte[x.Length];
        float[] back = new float[x.Length];
        StateCodec.EncodeGroups(x, format, before, bytes);
        StateCodec.DecodeGroups(bytes, format, before, back);
        Assert.Equal(before.SelectMany(g => new[] { g.Amax, g.Root }), harness.Download<float>(1));
        Assert.Equal(bytes, harness.Download<byte>(2));
        Assert.Equal(back, harness.Download<float>(3));
    }

    /// <summary>Saved factors: the range of a GELU's slope in fine steps, every halfway point between two codes and its neighbours, and NaN; as an epilogue, a row kernel and one element do it.</summary>
    [Fact]
    public void FixedPointIsBitExact()
    {
        IEnumerable<float> halves = Enumerable.Range(-26, 255).Select(code => (code + 0.5f) / 203f).SelectMany(h => new[] { MathF.BitDecrement(h), h, MathF.BitIncrement(h) });
        float[] x = [.. Enumerable.Range(-26 * 256, 255 * 256).Select(i => i / (203f * 256f)), .. halves, float.NaN, 0f, -0f, 1f];
        Array.Resize(ref x, ArenaLayout.AlignTo(x.Length, 8 * 512));
        using KernelHarness harness = Row(
            FixedPoint, x.Length / 8 / 512 * 16, ["x", "octets", "packs", "singles", "from_octets", "from_packs", "from_singles"], new TestBuffer(ElementFormat.F32, x.Length),
            new TestBuffer(ElementFormat.U8, x.Length), new TestBuffer(ElementFormat.U8, x.Length), new TestBuffer(ElementFormat.U8, x.Length),
            new TestBuffer(ElementFormat.F32, x.Length), new TestBuffer(ElementFormat.F32, x.Length), new TestBuffer(ElementFormat.F32, x.Length));
        harness.Upload(0, x);
        harness.LaunchOnBuffers();

        for (int form = 1; form <= 3; form++)
        {
            Compare(x, harness.Download<byte>(form), v => FixedByte.FromSingle(v, 26, 203), harness.Download<float>(form + 3), c => FixedByte.ToSingle(c, 26, 203), "fixed point");
        }
    }

    [Fact]
    public void UniformNumbersAreTheCpus()
    {
        const int Count = 1 << 16;
        Random random = new(1);
        uint[] keys = [.. Enumerable.Range(0, Count).Select(_ => (uint)random.NextInt64(1L << 32))];
        using KernelHarness harness = Row(
            Numbers, Count / 512 * 16, ["keys", "out"], new TestBuffer(ElementFormat.I32, Count), new TestBuffer(ElementFormat.F32, Count));
        harness.Upload(0, keys);
        harness.LaunchOnBuffers();

        Assert.Equal(keys.Select((key, i) => VectorMath.Uniform(key, unchecked((uint)i * 2654435761u))), harness.Download<float>(1));
    }

    private static IEnumerable<float> Inputs()
    {
        uint[] tails = [0, 1, 0x7FF, 0x800, 0x801, 0xFFF];
        foreach (uint tail in tails)
        {
            for (uint head = 0; head < 1 << 20; head++)
            {
                yield return BitConverter.UInt32BitsToSingle((head << 12) | tail);
            }
        }
    }

    private static void Compare<T>(float[] x, T[] codes, Func<float, T> encode, float[] values, Func<T, float> decode, string format)
        where T : unmanaged, IEquatable<T>
    {
        for (int i = 0; i < x.Length; i++)
        {
            T expected = encode(x[i]);
            Assert.True(
                expected.Equals(codes[i]), $"{format} of {x[i]:R} (0x{BitConverter.SingleToUInt32Bits(x[i]):x8}): CPU {expected}, GPU {codes[i]}");
            float value = decode(codes[i]);
            Assert.True(value.Equals(values[i]), $"{format} code {codes[i]}: CPU {value:R}, GPU {values[i]:R}");
        }
    }

    private static KernelHarness Row(string source, long rows, string[] arguments, params TestBuffer[] buffers)
        => new(new KernelInfo("test", KernelKind.Row, source, null!, arguments, new RowGeometry(_ => rows, _ => 1)), buffers);
}
