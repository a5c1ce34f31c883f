using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Execution;

namespace Fp8Lm.Cpu;

public static unsafe partial class CpuKernels
{
    private const int AdamTile = 16 * 1024;
    private const int NormBlock = 16 * 1024;

    // The partial sums fill half of Session.ReductionScratch at most.
    private const int NormBlocks = 4096;

    /// <summary>
    /// AdamW with decoupled decay, all in F32; nothing changes in a skipped step. Arguments: master F32 [count]; grad F32; m F32; v F32; count;
    /// decay (0: none); <see cref="StepState"/>, of which it reads the learning rate, the betas, epsilon, the decay, the bias corrections, the
    /// clip factor and the skip flag.
    /// </summary>
    public static void AdamW(DimBinding dims, nint* args, CpuPool pool)
    {
        var state = (StepState*)args[6];
        if (state->SkipStep == 0)
        {
            var kernel = new AdamStep((float*)args[0], (float*)args[1], (float*)args[2], (float*)args[3], args[4], args[5] != 0, *state);
            pool.Run(ref kernel, checked((int)((args[4] + AdamTile - 1) / AdamTile)));
        }
    }

    /// <summary>
    /// Global norm of the gradients, clip factor and skip flag; a flag that still stands becomes <see cref="StepState.Halted"/>. Arguments: grad F32 [count]; count; <see cref="StepState"/>; scratch of 32 KiB.
    /// Blocks of fixed size are summed in F64 and added in their order.
    /// </summary>
    public static void GradientNorm(DimBinding dims, nint* args, CpuPool pool) => FinishNorm((StepState*)args[2], Math.Sqrt(SumOfSquares(args, pool)), 1f);

    /// <summary>
    /// <see cref="GradientNorm"/> of gradients that were multiplied by a loss scale: norm and clipping are those of gradients without it, the clip factor takes it out
    /// of them, and the loss scale of the next step is derived (<see cref="LossScaleState.Next"/>). Arguments: as <see cref="GradientNorm"/>; then <see cref="LossScaleState"/>; growth interval.
    /// </summary>
    public static void GradientNormOfScaledLoss(DimBinding dims, nint* args, CpuPool pool) =>
        FinishNorm((StepState*)args[2], SumOfSquares(args, pool), (LossScaleState*)args[4], args[5]);

    private static double SumOfSquares(nint* args, CpuPool pool)
    {
        long count = args[1];
        double* partial = (double*)args[3];
        long block = Math.Max(NormBlock, (((count + NormBlocks - 1) / NormBlocks) + Lanes - 1) / Lanes * Lanes);
        int blocks = checked((int)((count + block - 1) / block));
        var kernel = new SquareSums((float*)args[0], count, block, partial);
        pool.Run(ref kernel, blocks);

        double sum = 0;
        for (int i = 0; i < blocks; i++)
        {
            sum += partial[i];
        }

        return sum;
    }

    private static void FinishNorm(StepState* state, double sum, LossScaleState* lossScale, long growthInterval)
    {
        float scale = lossScale->Scale, norm = (float)(Math.Sqrt(sum) / scale);
        FinishNorm(state, norm, 1f / scale);
        state->DynamicLossScale = scale;
        if (state->SkipStep != StepState.Halted)
        {
            *lossScale = lossScale->Next(float.IsFinite(norm), state->SkipStep == 0, growthInterval);
        }
    }

    private static void FinishNorm(StepState* state, double exactNorm, float unscale)
    {
        float norm = (float)exactNorm;
        bool finite = float.IsFinite(norm);
        state->GradientNorm = norm;
        state->ClipFactor = finite && state->MaxGradientNorm > 0f ? Math.Min(1f, state->MaxGradientNorm / (norm + 1e-6f)) : 1f;
        state->ClipFactor *= unscale;
        state->SkipStep = state->SkipStep != 0 ? StepState.Halted : finite && double.IsFinite(state->LossSum) ? 0u : StepState.Skipped;
    }

    private readonly struct SquareSums(float* gradient, long count, long block, double* partial) : ITileKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int tile, int worker)
        {
            long i = tile * block, end = Math.Min(count, i + block);
            Vector256<double> low = default, high = default;
            for (; i + Lanes <= end; i += Lanes)
            {
                Add(Simd.Load(gradient + i), ref low, ref high);
            }

            if (i < end)
            {
                Add(Simd.LoadPartial(gradient + i, (int)(end - i)), ref low, ref high);
            }

            Vector256<double> sum = low + high;
            partial[tile] = (sum.GetElement(0) + sum.GetElement(1)) + (sum.GetElement(2) + sum.GetElement(3));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Add(Vector256<float> g, ref Vector256<double> low, ref Vector256<double> high)
        {
            Vector256<double> a = Vector256.WidenLower(g), b = Vector256.WidenUpper(g);
            low += a * a;
            high += b * b;
        }
    }

    private readonly struct AdamStep(float* master, float* gradient, float* m, float* v, long count, bool decay, StepState state) : ITileKernel
    {
        private readonly AdamMath math = new(state, decay);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int tile, int worker)
        {
            AdamMath step = math;
            long i = (long)tile * AdamTile, end = Math.Min(count, i + AdamTile);
            for (; i + Lanes <= end; i += Lanes)
            {
                Vector256<float> w = Simd.Load(master + i), first = Simd.Load(m + i), second = Simd.Load(v + i);
                step.Update(ref w, ref first, ref second, Simd.Load(gradient + i));
                Simd.Store(master + i, w);
                Simd.Store(m + i, first);
                Simd.Store(v + i, second);
            }

            if (i < end)
            {
                int n = (int)(end - i);
                Vector256<float> w = Simd.LoadPartial(master + i, n), first = Simd.LoadPartial(m + i, n), second = Simd.LoadPartial(v + i, n);
                step.Update(ref w, ref first, ref second, Simd.LoadPartial(gradient + i, n));
                Simd.StorePartial(master + i, w, n);
                Simd.StorePartial(m + i, first, n);
                Simd.StorePartial(v + i, second, n);
            }
        }
    }
}
