using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;

namespace Fp8Lm.Collectives;

/// <summary>The passes over a payload, each over one stretch of one tensor; what can be counted on the way is counted on the way.</summary>
internal static unsafe class PayloadKernels
{
    private const int Tile = 16 * 1024;

    /// <summary>Bits of the largest magnitude (integer order: NaN above infinity above every number).</summary>
    public static uint Amax(CpuPool pool, ReadOnlySpan<float> values)
    {
        uint amax = 0;
        fixed (float* source = values)
        {
            var kernel = new AmaxKernel(source, values.Length, &amax);
            pool.Run(ref kernel, Tiles(values.Length));
        }

        return amax;
    }

    /// <summary>codes = FP8(values * scale).</summary>
    public static CastCounts Cast(CpuPool pool, ElementFormat format, ReadOnlySpan<float> values, float scale, byte* codes)
    {
        SharedCounts counts = default;
        fixed (float* source = values)
        {
            if (format == ElementFormat.E4M3)
            {
                var kernel = new CastKernel<E4M3Codec>(source, values.Length, scale, codes, &counts);
                pool.Run(ref kernel, Tiles(values.Length));
            }
            else
            {
                var kernel = new CastKernel<E5M2Codec>(source, values.Length, scale, codes, &counts);
                pool.Run(ref kernel, Tiles(values.Length));
            }
        }

        return counts.Total;
    }

    /// <summary>codes = FP8(codes * ratio), in place.</summary>
    public static CastCounts Requantise(CpuPool pool, ElementFormat format, byte* codes, int count, float ratio)
    {
        SharedCounts counts = default;
        if (format == ElementFormat.E4M3)
        {
            var kernel = new RequantiseKernel<E4M3Codec>(codes, count, ratio, &counts);
            pool.Run(ref kernel, Tiles(count));
        }
        else
        {
            var kernel = new RequantiseKernel<E5M2Codec>(codes, count, ratio, &counts);
            pool.Run(ref kernel, Tiles(count));
        }

        return counts.Total;
    }

    /// <summary>values = codes * factor.</summary>
    public static void Decode(CpuPool pool, ElementFormat format, byte* codes, float factor, Span<float> values)
    {
        fixed (float* destination = values)
        {
            if (format == ElementFormat.E4M3)
            {
                var kernel = new DecodeKernel<E4M3Codec>(codes, values.Length, factor, destination);
                pool.Run(ref kernel, Tiles(values.Length));
            }
            else
            {
                var kernel = new DecodeKernel<E5M2Codec>(codes, values.Length, factor, destination);
                pool.Run(ref kernel, Tiles(values.Length));
            }
        }
    }

    /// <summary>sums = codes of all ranks added in F32 and in rank order; the ranks' stretches lie <paramref name="pitch"/> bytes apart.</summary>
    /// <returns>Bits of the largest magnitude among the sums.</returns>
    public static uint SumRanks(CpuPool pool, ElementFormat format, byte* codes, int pitch, int ranks, int count, float* sums)
    {
        uint amax = 0;
        if (format == ElementFormat.E4M3)
        {
            var kernel = new SumRanksKernel<E4M3Codec>(codes, pitch, ranks, count, sums, &amax);
            pool.Run(ref kernel, Tiles(count));
        }
        else
        {
            var kernel = new SumRanksKernel<E5M2Codec>(codes, pitch, ranks, count, sums, &amax);
            pool.Run(ref kernel, Tiles(count));
        }

        return amax;
    }

    private static int Tiles(int count) => (count + Tile - 1) / Tile;

    private static int End(int tile, int count) => Math.Min(count, (tile + 1) * Tile);

    private readonly struct AmaxKernel(float* source, int count, uint* amax) : ITileKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int tile, int worker)
        {
            int i = tile * Tile, end = End(tile, count);
            Vector256<uint> running = default;
            for (; i + Simd.Lanes <= end; i += Simd.Lanes)
            {
                running = Simd.AmaxBits(running, Simd.Load(source + i));
            }

            if (i < end)
            {
                running = Simd.AmaxBits(running, Simd.LoadPartial(source + i, end - i));
            }

            Simd.MergeAmax(amax, running);
        }
    }

    private readonly struct CastKernel<TCodec>(float* source, int count, float scale, byte* codes, SharedCounts* counts) : ITileKernel
        where TCodec : IFp8Codec
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int tile, int worker)
        {
            int i = tile * Tile, end = End(tile, count);
            var tally = new Tally<TCodec>();
            for (; i + Simd.Lanes <= end; i += Simd.Lanes)
            {
                Vector256<float> value = Simd.Load(source + i);
                Vector256<uint> code = TCodec.Encode(value * scale);
                tally.Add(value, code);
                Bytes.Store(codes + i, code);
            }

            for (; i < end; i++)
            {
                codes[i] = TCodec.Encode(source[i] * scale);
                tally.Add(source[i] != 0f, codes[i]);
            }

            counts->Add(tally.Underflow, tally.Saturated);
        }
    }

    private readonly struct RequantiseKernel<TCodec>(byte* codes, int count, float ratio, SharedCounts* counts) : ITileKernel
        where TCodec : IFp8Codec
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int tile, int worker)
        {
            int i = tile * Tile, end = End(tile, count);
            var tally = new Tally<TCodec>();
            for (; i + Simd.Lanes <= end; i += Simd.Lanes)
            {
                Vector256<float> value = TCodec.Load(codes + i);
                Vector256<uint> code = TCodec.Encode(value * ratio);
                tally.Add(value, code);
                Bytes.Store(codes + i, code);
            }

            for (; i < end; i++)
            {
                float value = TCodec.Decode(codes[i]);
                codes[i] = TCodec.Encode(value * ratio);
                tally.Add(value != 0f, codes[i]);
            }

            counts->Add(tally.Underflow, tally.Saturated);
        }
    }

    private readonly struct DecodeKernel<TCodec>(byte* codes, int count, float factor, float* values) : ITileKernel
        where TCodec : IFp8Codec
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int tile, int worker)
        {
            int i = tile * Tile, end = End(tile, count);
            for (; i + Simd.Lanes <= end; i += Simd.Lanes)
            {
                Simd.Store(values + i, TCodec.Load(codes + i) * factor);
            }

            for (; i < end; i++)
            {
                values[i] = TCodec.Decode(codes[i]) * factor;
            }
        }
    }

    private readonly struct SumRanksKernel<TCodec>(byte* codes, int pitch, int ranks, int count, float* sums, uint* amax) : ITileKernel
        where TCodec : IFp8Codec
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int tile, int worker)
        {
            int first = tile * Tile, end = End(tile, count);
            for (int rank = 0; rank < ranks; rank++)
            {
                byte* from = codes + ((long)rank * pitch);
                int i = first;
                for (; i + Simd.Lanes <= end; i += Simd.Lanes)
                {
                    Vector256<float> value = TCodec.Load(from + i);
                    Simd.Store(sums + i, rank == 0 ? value : Simd.Load(sums + i) + value);
                }

                for (; i < end; i++)
                {
                    sums[i] = rank == 0 ? TCodec.Decode(from[i]) : sums[i] + TCodec.Decode(from[i]);
                }
            }

            Vector256<uint> running = default;
            int j = first;
            for (; j + Simd.Lanes <= end; j += Simd.Lanes)
            {
                running = Simd.AmaxBits(running, Simd.Load(sums + j));
            }

            if (j < end)
            {
                running = Simd.AmaxBits(running, Simd.LoadPartial(sums + j, end - j));
            }

            Simd.MergeAmax(amax, running);
        }
    }
}

/// <summary>Underflow and saturation of one tile; lanes are summed at its end.</summary>
internal struct Tally<TCodec> where TCodec : IFp8Codec
{
    private Vector256<uint> underflowLanes;
    private Vector256<uint> saturatedLanes;
    private long underflowRest;
    private long saturatedRest;

    public readonly long Underflow => Vector256.Sum(underflowLanes) + underflowRest;

    public readonly long Saturated => Vector256.Sum(saturatedLanes) + saturatedRest;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(Vector256<float> value, Vector256<uint> code)
    {
        Vector256<uint> magnitude = code & Vector256.Create(0x7Fu);
        Vector256<uint> wasZero = Vector256.Equals(value, Vector256<float>.Zero).AsUInt32();

        // Masks are all ones: subtracting one counts it.
        underflowLanes -= Vector256.AndNot(Vector256.Equals(magnitude, Vector256<uint>.Zero), wasZero);
        saturatedLanes -= Vector256.Equals(magnitude, Vector256.Create(TCodec.Largest));
    }

    public void Add(bool nonZero, byte code)
    {
        underflowRest += nonZero && (code & 0x7F) == 0 ? 1 : 0;
        saturatedRest += (code & 0x7F) == TCodec.Largest ? 1 : 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddSaturated(Vector256<uint> code) =>
        saturatedLanes -= Vector256.Equals(code & Vector256.Create(0x7Fu), Vector256.Create(TCodec.Largest));
}

/// <summary>Narrowing stores.</summary>
internal static unsafe class Bytes
{
    /// <summary>Stores the low bytes of eight lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(byte* p, Vector256<uint> codes) => Unsafe.WriteUnaligned(p, Simd.NarrowToBytes(codes));
}
