using System;
using System.Runtime.Intrinsics;
using Fp8Lm.Cpu;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

public unsafe class SimdTests
{
    private static readonly Vector256<float> Values = Vector256.Create(1.1f, -2.3f, 500f, float.NaN, -0f, 1e-9f, 70000f, 3.3f);

    [Fact]
    public void Stores_equal_scalar_casts_and_partial_ones_touch_nothing_else()
    {
        float* f32 = stackalloc float[9];
        ushort* bf16 = stackalloc ushort[9], f16 = stackalloc ushort[9];
        byte* e4m3 = stackalloc byte[9], e5m2 = stackalloc byte[9], u8 = stackalloc byte[9];
        for (int n = 0; n <= 8; n++)
        {
            new Span<float>(f32, 9).Fill(77f);
            new Span<ushort>(bf16, 9).Fill(77);
            new Span<ushort>(f16, 9).Fill(77);
            new Span<byte>(e4m3, 9).Fill(77);
            new Span<byte>(e5m2, 9).Fill(77);
            new Span<byte>(u8, 9).Fill(77);
            if (n == 8)
            {
                Simd.Store(f32, Values);
                Simd.StoreBF16(bf16, Values);
                Simd.StoreF16(f16, Values);
                Simd.StoreE4M3(e4m3, Values);
                Simd.StoreE5M2(e5m2, Values);
                Simd.StoreU8(u8, Values, 100, 13);
            }
            else
            {
                Simd.StorePartial(f32, Values, n);
                Simd.StoreBF16Partial(bf16, Values, n);
                Simd.StoreF16Partial(f16, Values, n);
                Simd.StoreE4M3Partial(e4m3, Values, n);
                Simd.StoreE5M2Partial(e5m2, Values, n);
                Simd.StoreU8Partial(u8, Values, n, 100, 13);
            }

            for (int i = 0; i < 9; i++)
            {
                bool valid = i < n;
                float value = valid ? Values.GetElement(i) : 0f;
                Assert.Equal(valid ? value : 77f, f32[i]);
                Assert.Equal(valid ? BFloat16.FromSingle(value) : 77, bf16[i]);
                Assert.Equal(valid ? Float16.FromSingle(value) : 77, f16[i]);
                Assert.Equal(valid ? E4M3.FromSingle(value) : 77, e4m3[i]);
                Assert.Equal(valid ? E5M2.FromSingle(value) : 77, e5m2[i]);
                Assert.Equal(valid ? FixedByte.FromSingle(value, 100, 13) : 77, u8[i]);
            }
        }
    }

    [Fact]
    public void Loads_equal_scalar_reads_and_partial_ones_give_zeros()
    {
        float* f32 = stackalloc float[8];
        ushort* words = stackalloc ushort[8];
        byte* bytes = stackalloc byte[8];
        for (int i = 0; i < 8; i++)
        {
            f32[i] = i - 3.5f;
            words[i] = (ushort)(0x3C00 + (i * 0x111));
            bytes[i] = (byte)(0x03 + (i * 0x21));
        }

        for (int n = 1; n <= 8; n++)
        {
            for (int i = 0; i < 8; i++)
            {
                float Expect(float value) => i < n ? value : 0f;
                Assert.Equal(Expect(f32[i]), (n == 8 ? Simd.Load(f32) : Simd.LoadPartial(f32, n)).GetElement(i));
                Assert.Equal(Expect(BFloat16.ToSingle(words[i])), (n == 8 ? Simd.LoadBF16(words) : Simd.LoadBF16Partial(words, n)).GetElement(i));
                Assert.Equal(Expect(Float16.ToSingle(words[i])), (n == 8 ? Simd.LoadF16(words) : Simd.LoadF16Partial(words, n)).GetElement(i));
                Assert.Equal(Expect(E4M3.ToSingle(bytes[i])), (n == 8 ? Simd.LoadE4M3(bytes) : Simd.LoadE4M3Partial(bytes, n)).GetElement(i));
                Assert.Equal(Expect(E5M2.ToSingle(bytes[i])), (n == 8 ? Simd.LoadE5M2(bytes) : Simd.LoadE5M2Partial(bytes, n)).GetElement(i));
                Assert.Equal(Expect(FixedByte.ToSingle(bytes[i], 100, 13)), (n == 8 ? Simd.LoadU8(bytes, 100, 13) : Simd.LoadU8Partial(bytes, n, 100, 13)).GetElement(i));
            }
        }
    }

    [Fact]
    public void Reductions_across_lanes()
    {
        Vector256<float> x = Vector256.Create(1f, 2f, 4f, 8f, 16f, 32f, 64f, 128f);
        Assert.Equal(255f, Simd.HorizontalSum(x));
        Assert.Equal(128f, Simd.HorizontalMax(x));
        Assert.True(float.IsNaN(Simd.HorizontalMax(Values)));
        Assert.Equal(7f, Simd.HorizontalSum(Simd.Keep(x, 3)));
        Assert.Equal(4f, Simd.HorizontalMax(Simd.Keep(x, 3, float.NegativeInfinity)));
    }

    [Fact]
    public void Amax_keeps_infinity_above_numbers_and_NaN_above_infinity()
    {
        uint slot = 0;
        Simd.MergeAmax(&slot, Simd.AmaxBits(default, Vector256.Create(1f, -5f, 2f, 0f, 0f, 0f, 0f, 3f)));
        Assert.Equal(5f, BitConverter.UInt32BitsToSingle(slot));
        Simd.MergeAmax(&slot, Simd.AmaxBitsPartial(default, Vector256.Create(1f, 2f, 9f, 9f, 9f, 9f, 9f, 9f), 2));
        Assert.Equal(5f, BitConverter.UInt32BitsToSingle(slot));
        Simd.MergeAmax(&slot, Simd.AmaxBits(default, Vector256.Create(float.NegativeInfinity)));
        Assert.Equal(float.PositiveInfinity, BitConverter.UInt32BitsToSingle(slot));
        Simd.MergeAmax(&slot, Simd.AmaxBits(default, Values));
        Assert.True(float.IsNaN(BitConverter.UInt32BitsToSingle(slot)));
    }
}
