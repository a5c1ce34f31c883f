using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Cpu;

public static unsafe partial class CpuKernels
{
    private const int GradientRow = 0, MasterRow = 1, FirstRow = 2, SecondRow = 3;

    /// <summary>
    /// First pass of FP8-LM's optimizer (fact sheet, section 3.3): amax of the new weights and moments, unquantised. Arguments: master; grad; m; v;
    /// <see cref="StateSegment"/> [count]; count; tiles; reciprocal scales F32 [4, count]; amax U32 [4, count]; <see cref="StepState"/>.
    /// Formats of master and gradient are those of linear weights; those of others are F32. With moments in groups (<see cref="GroupedState{T}"/>) the groups of first and second
    /// moments, F32 [groups, 2], stand behind the tiles.
    /// </summary>
    public static void ScaledAdamAmax<TMaster, TGradient, TFirst, TSecond>(DimBinding dims, nint* args, CpuPool pool)
        where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        nint* scales = args + 7 + GroupArguments<TFirst, TSecond>();
        var state = (StepState*)scales[2];
        if (state->SkipStep == 0)
        {
            var kernel = new AmaxPass<TMaster, TGradient, TFirst, TSecond>(Arenas<TFirst, TSecond>(args, (float*)scales[0]), (uint*)scales[1], *state);
            pool.Run(ref kernel, checked((int)args[6]));
        }
    }

    /// <summary>
    /// Second pass: computes the new weights and moments again and stores them with scales that fit. Arguments: as <see cref="ScaledAdamAmax"/>, with the
    /// scales F32 [4, count] of the step before in front of their reciprocals.
    /// </summary>
    public static void ScaledAdamStore<TMaster, TGradient, TFirst, TSecond>(DimBinding dims, nint* args, CpuPool pool)
        where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        nint* scales = args + 7 + GroupArguments<TFirst, TSecond>();
        Store<CastsOnly, TMaster, TGradient, TFirst, TSecond>(Arenas<TFirst, TSecond>(args, (float*)scales[1]), scales, (StepState*)scales[3], null, args[6], pool);
    }

    /// <summary><see cref="ScaledAdamStore"/> with a further argument: <see cref="CastStatistics"/> [states in fewer than 32 bits, count], or zero where casts are not counted.</summary>
    public static void CountedAdamStore<TMaster, TGradient, TFirst, TSecond>(DimBinding dims, nint* args, CpuPool pool)
        where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        nint* scales = args + 7 + GroupArguments<TFirst, TSecond>();
        if (scales[4] == 0)
        {
            ScaledAdamStore<TMaster, TGradient, TFirst, TSecond>(dims, args, pool);
            return;
        }

        Store<CountsCasts, TMaster, TGradient, TFirst, TSecond>(
            Arenas<TFirst, TSecond>(args, (float*)scales[1]), scales, (StepState*)scales[3], (CastStatistics*)scales[4], args[6], pool);
    }

    /// <summary>
    /// AdamW over all parameters in one pass, for states without scales of tensors (F32, BF16, and moments in groups). Arguments: master; grad; m; v; <see cref="StateSegment"/>
    /// [count]; count; tiles; with moments in groups those of first and second moments, F32 [groups, 2]; <see cref="StepState"/>. Formats of master and gradient are those of linear
    /// weights; those of others are F32.
    /// </summary>
    public static void SegmentedAdamW<TMaster, TGradient, TFirst, TSecond>(DimBinding dims, nint* args, CpuPool pool)
        where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        nint* rest = args + 7 + GroupArguments<TFirst, TSecond>();
        Store<CastsOnly, TMaster, TGradient, TFirst, TSecond>(Arenas<TFirst, TSecond>(args, null), null, (StepState*)rest[0], null, args[6], pool);
    }

    /// <summary><see cref="SegmentedAdamW"/> with a further argument: <see cref="CastStatistics"/> [states in fewer than 32 bits, count], or zero where casts are not counted.</summary>
    public static void CountedAdamW<TMaster, TGradient, TFirst, TSecond>(DimBinding dims, nint* args, CpuPool pool)
        where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        nint* rest = args + 7 + GroupArguments<TFirst, TSecond>();
        if (rest[1] == 0)
        {
            SegmentedAdamW<TMaster, TGradient, TFirst, TSecond>(dims, args, pool);
            return;
        }

        Store<CountsCasts, TMaster, TGradient, TFirst, TSecond>(Arenas<TFirst, TSecond>(args, null), null, (StepState*)rest[0], (CastStatistics*)rest[1], args[6], pool);
    }

    private static void Store<TMode, TMaster, TGradient, TFirst, TSecond>(StateArenas arenas, nint* scales, StepState* state, CastStatistics* casts, nint tiles, CpuPool pool)
        where TMode : struct, ICastMode where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        if (state->SkipStep == 0)
        {
            float* scale = scales == null ? null : (float*)scales[0];
            uint* amax = scales == null ? null : (uint*)scales[2];
            var kernel = new StorePass<TMode, TMaster, TGradient, TFirst, TSecond>(arenas, scale, amax, *state, casts);
            pool.Run(ref kernel, checked((int)tiles));
        }
    }

    /// <summary>
    /// The scales of what the second pass has stored, and those of the weights' FP8 copies; clears the amax it used. Arguments: <see cref="StateSegment"/> [count];
    /// count; scales F32 [4, count]; reciprocals; amax U32 [4, count]; scales of FP8 tensors; their reciprocals; largest numbers of the formats of master, m, v (0: no
    /// scale) and of the weights' copies.
    /// </summary>
    public static void StateScales(DimBinding dims, nint* args, CpuPool pool)
    {
        var segments = (StateSegment*)args[0];
        long count = args[1];
        float* scale = (float*)args[2], inverse = (float*)args[3], weightScale = (float*)args[5], weightInverse = (float*)args[6];
        uint* amax = (uint*)args[4];
        for (long i = 0; i < count; i++)
        {
            bool linear = (segments[i].Traits & StateSegmentTraits.Linear) != 0;
            uint weight = amax[(MasterRow * count) + i];
            Commit((MasterRow * count) + i, linear ? args[7] : 0f);
            Commit((FirstRow * count) + i, args[8]);
            Commit((SecondRow * count) + i, args[9]);
            int slot = segments[i].WeightSlot;
            if (slot >= 0)
            {
                weightScale[slot] = Scaling.State(weight, args[10], weightScale[slot]);
                weightInverse[slot] = 1f / weightScale[slot];
            }
        }

        void Commit(long slot, float maximum)
        {
            if (maximum > 0f)
            {
                scale[slot] = Scaling.State(amax[slot], maximum, scale[slot]);
                inverse[slot] = 1f / scale[slot];
            }

            amax[slot] = 0;
        }
    }

    /// <summary>
    /// Before the backward pass of a micro-batch: amax of gradients start again, but one that is not finite stays until the optimizer has seen it. Arguments: amax
    /// U32 [count]; count.
    /// </summary>
    public static void GradientAmax(DimBinding dims, nint* args, CpuPool pool)
    {
        foreach (ref uint amax in new Span<uint>((void*)args[0], checked((int)args[1])))
        {
            amax = amax < 0x7F800000 ? 0 : amax;
        }
    }

    /// <summary>
    /// <see cref="GradientNorm"/> of gradients in formats of their own. An amax that is not finite makes the norm NaN: a cast to FP8 saturates, so the bytes would
    /// not tell. Arguments: grad; <see cref="StateSegment"/> [count]; count; tiles; reciprocal scales F32 [count]; amax U32 [count]; <see cref="StepState"/>; scratch.
    /// </summary>
    public static void ScaledGradientNorm<TGradient>(DimBinding dims, nint* args, CpuPool pool) where TGradient : struct, IStateFormat =>
        FinishNorm((StepState*)args[6], Math.Sqrt(ScaledSumOfSquares<TGradient>(args, pool)), 1f);

    /// <summary>
    /// <see cref="GradientNormOfScaledLoss"/> of gradients in formats of their own. Arguments: as <see cref="ScaledGradientNorm"/>; then <see cref="LossScaleState"/>; growth interval.
    /// </summary>
    public static void ScaledGradientNormOfScaledLoss<TGradient>(DimBinding dims, nint* args, CpuPool pool) where TGradient : struct, IStateFormat =>
        FinishNorm((StepState*)args[6], ScaledSumOfSquares<TGradient>(args, pool), (LossScaleState*)args[8], args[9]);

    /// <summary>
    /// <see cref="GradientNorm"/> of gradients in formats of their own that have no scale. Arguments: grad; <see cref="StateSegment"/> [count]; count; tiles;
    /// <see cref="StepState"/>; scratch.
    /// </summary>
    public static void SegmentedGradientNorm<TGradient>(DimBinding dims, nint* args, CpuPool pool) where TGradient : struct, IStateFormat =>
        FinishNorm((StepState*)args[4], Math.Sqrt(SegmentedSumOfSquares<TGradient>(args, null, null, (double*)args[5], pool)), 1f);

    /// <summary>
    /// <see cref="GradientNormOfScaledLoss"/> of such gradients. Arguments: as <see cref="SegmentedGradientNorm"/>; then <see cref="LossScaleState"/>; growth interval.
    /// </summary>
    public static void SegmentedGradientNormOfScaledLoss<TGradient>(DimBinding dims, nint* args, CpuPool pool) where TGradient : struct, IStateFormat =>
        FinishNorm((StepState*)args[4], SegmentedSumOfSquares<TGradient>(args, null, null, (double*)args[5], pool), (LossScaleState*)args[6], args[7]);

    private static double ScaledSumOfSquares<TGradient>(nint* args, CpuPool pool) where TGradient : struct, IStateFormat =>
        SegmentedSumOfSquares<TGradient>(args, (float*)args[4], (uint*)args[5], (double*)args[7], pool);

    private static double SegmentedSumOfSquares<TGradient>(nint* args, float* inverse, uint* amax, double* partial, CpuPool pool) where TGradient : struct, IStateFormat
    {
        int tiles = checked((int)args[3]);
        int perSum = (tiles + NormBlocks - 1) / NormBlocks, sums = (tiles + perSum - 1) / perSum;
        var arenas = new StateArenas(null, (byte*)args[0], null, null, (StateSegment*)args[1], args[2], inverse);
        var kernel = new SegmentSquares<TGradient>(arenas, amax, tiles, perSum, partial);
        pool.Run(ref kernel, sums);
        double sum = 0;
        for (int i = 0; i < sums; i++)
        {
            sum += partial[i];
        }

        return sum;
    }

    /// <summary>Arguments that moments in groups add.</summary>
    private static int GroupArguments<TFirst, TSecond>() where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat =>
        TFirst.GroupMaximum > 0f || TSecond.GroupMaximum > 0f ? 2 : 0;

    private static StateArenas Arenas<TFirst, TSecond>(nint* args, float* inverse) where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        bool groups = GroupArguments<TFirst, TSecond>() > 0;
        return new StateArenas((byte*)args[0], (byte*)args[1], (byte*)args[2], (byte*)args[3], (StateSegment*)args[4], args[5], inverse)
        {
            FirstGroups = groups ? (MomentGroup*)args[7] : null, SecondGroups = groups ? (MomentGroup*)args[8] : null,
        };
    }

    /// <summary>Where the states of all parameters are.</summary>
    private readonly struct StateArenas(byte* master, byte* gradient, byte* first, byte* second, StateSegment* segments, long count, float* inverse)
    {
        public MomentGroup* FirstGroups { get; init; }

        public MomentGroup* SecondGroups { get; init; }

        public long Count => count;

        /// <summary>The segment that a tile lies in, and which of its elements are the tile's.</summary>
        public long Find(long tile, out StateSegment segment, out long begin, out long end)
        {
            long low = 0, high = count - 1;
            while (low < high)
            {
                long middle = (low + high + 1) / 2;
                (low, high) = segments[middle].FirstTile <= tile ? (middle, high) : (low, middle - 1);
            }

            segment = segments[low];
            begin = (tile - segment.FirstTile) * StateSegment.TileElements;
            end = Math.Min(segment.Elements, begin + StateSegment.TileElements);
            return low;
        }

        public byte* Master(in StateSegment segment) => master + segment.Master;

        public byte* Gradient(in StateSegment segment) => gradient + segment.Gradient;

        public byte* First(in StateSegment segment) => first + segment.FirstMoment;

        public byte* Second(in StateSegment segment) => second + segment.SecondMoment;

        public Vector256<float> Inverse<T>(int row, long index) where T : struct, IStateFormat =>
            Vector256.Create(T.Maximum > 0f ? inverse[(row * count) + index] : 1f);
    }

    /// <summary>The new values of eight elements of one tensor.</summary>
    private readonly struct StateReader<TMaster, TGradient, TFirst, TSecond>
        where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        private readonly byte* master, gradient, first, second;
        private readonly MomentGroup* firstGroups, secondGroups;
        private readonly Vector256<float> masterInverse, gradientInverse, firstInverse, secondInverse;
        private readonly AdamMath math;

        public StateReader(in StateArenas arenas, in StateSegment segment, long index, in StepState state)
        {
            master = arenas.Master(segment);
            gradient = arenas.Gradient(segment);
            first = arenas.First(segment);
            second = arenas.Second(segment);
            firstGroups = arenas.FirstGroups + segment.FirstGroup;
            secondGroups = arenas.SecondGroups + segment.FirstGroup;
            masterInverse = arenas.Inverse<TMaster>(MasterRow, index);
            gradientInverse = arenas.Inverse<TGradient>(GradientRow, index);
            firstInverse = arenas.Inverse<TFirst>(FirstRow, index);
            secondInverse = arenas.Inverse<TSecond>(SecondRow, index);
            math = new AdamMath(state, (segment.Traits & StateSegmentTraits.Decays) != 0);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Update(long i, out Vector256<float> w, out Vector256<float> m, out Vector256<float> v)
        {
            w = TMaster.Load(master + (i * TMaster.Bytes)) * masterInverse;
            m = Moment<TFirst>(first, firstGroups, i, firstInverse);
            v = Moment<TSecond>(second, secondGroups, i, secondInverse);
            math.Update(ref w, ref m, ref v, TGradient.Load(gradient + (i * TGradient.Bytes)) * gradientInverse);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static Vector256<float> Moment<T>(byte* from, MomentGroup* groups, long i, Vector256<float> inverse) where T : struct, IStateFormat
        {
            Vector256<float> stored = T.Load(from + (i * T.Bytes));
            return T.GroupMaximum > 0f ? groups[i / MomentGroup.Elements].Expand<T>(stored) : stored * inverse;
        }
    }

    private readonly struct AmaxPass<TMaster, TGradient, TFirst, TSecond>(StateArenas arenas, uint* amax, StepState state) : ITileKernel
        where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        public void Run(int tile, int worker)
        {
            long index = arenas.Find(tile, out StateSegment segment, out long begin, out long end);
            if ((segment.Traits & StateSegmentTraits.Linear) != 0)
            {
                Run(new StateReader<TMaster, TGradient, TFirst, TSecond>(arenas, segment, index, state), index, begin, end);
            }
            else if (TFirst.Maximum > 0f || TSecond.Maximum > 0f)
            {
                Run(new StateReader<F32State, F32State, TFirst, TSecond>(arenas, segment, index, state), index, begin, end);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Run<TWeight, TSlope>(in StateReader<TWeight, TSlope, TFirst, TSecond> reader, long index, long begin, long end)
            where TWeight : struct, IStateFormat where TSlope : struct, IStateFormat
        {
            Vector256<uint> master = default, first = default, second = default;
            for (long i = begin; i < end; i += Lanes)
            {
                reader.Update(i, out Vector256<float> w, out Vector256<float> m, out Vector256<float> v);
                master = Simd.AmaxBits(master, w);
                first = Simd.AmaxBits(first, m);
                second = Simd.AmaxBits(second, v);
            }

            Simd.MergeAmax(amax + (MasterRow * arenas.Count) + index, master);
            Simd.MergeAmax(amax + (FirstRow * arenas.Count) + index, first);
            Simd.MergeAmax(amax + (SecondRow * arenas.Count) + index, second);
        }
    }

    private readonly struct SegmentSquares<TGradient>(StateArenas arenas, uint* amax, int tiles, int perSum, double* partial) : ITileKernel where TGradient : struct, IStateFormat
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int block, int worker)
        {
            Vector256<double> sum = default;
            for (int tile = block * perSum; tile < Math.Min(tiles, (block + 1) * perSum); tile++)
            {
                long index = arenas.Find(tile, out StateSegment segment, out long begin, out long end);
                sum += (segment.Traits & StateSegmentTraits.Linear) == 0 ? Sum<F32State>(segment, index, begin, end)
                    : TGradient.Maximum > 0f && amax[index] >= 0x7F800000 ? Vector256.Create(double.NaN)
                    : Sum<TGradient>(segment, index, begin, end);
            }

            partial[block] = (sum.GetElement(0) + sum.GetElement(1)) + (sum.GetElement(2) + sum.GetElement(3));
        }

        private Vector256<double> Sum<T>(in StateSegment segment, long index, long begin, long end) where T : struct, IStateFormat
        {
            byte* gradient = arenas.Gradient(segment);
            Vector256<float> inverse = arenas.Inverse<T>(GradientRow, index);
            Vector256<double> low = default, high = default;
            for (long i = begin; i < end; i += Lanes)
            {
                Vector256<float> g = T.Load(gradient + (i * T.Bytes)) * inverse;
                Vector256<double> a = Vector256.WidenLower(g), b = Vector256.WidenUpper(g);
                low += a * a;
                high += b * b;
            }

            return low + high;
        }
    }
}
