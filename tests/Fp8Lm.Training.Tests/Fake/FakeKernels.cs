using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Training;

namespace Fp8Lm.Training.Tests.Fake;

/// <summary>The kernels of <see cref="FakeProgram"/>: plain loops.</summary>
internal static unsafe class FakeKernels
{
    public const int Embed = 0, Layer = 1, Logits = 2, Loss = 3, LayerGradient = 4, EmbedGradient = 5, Norm = 6, AdamW = 7, Scales = 8;
    private const int Rows = 8;
    private const double Keep = 0.9;

    public static IReadOnlyList<KernelInfo> Table(FakeProgram program) =>
    [
        Info("fake_embed", 4, [3], RunEmbed),
        Info("fake_layer", 7, [4, 6], (dims, args, _) => RunLayer(dims, args, program)),
        Info("fake_logits", 4, [2], RunLogits),
        Info("fake_loss", 9, [6, 7], RunLoss),
        Info("fake_layer_gradient", 5, [3, 4], RunLayerGradient),
        Info("fake_embed_gradient", 4, [3], RunEmbedGradient),
        Info("fake_norm", 3, [], RunNorm),
        Info("fake_adamw", 7, [], RunAdamW),
        Info("fake_scales", 8, [], RunScales),
    ];

    private static KernelInfo Info(string name, int arguments, int[] written, CpuKernel kernel) => new(
        name, KernelKind.Row, $"extern \"C\" __global__ void {name}() {{}}\n", kernel,
        [.. Enumerable.Range(0, arguments).Select(i => $"{i}: float*{(written.Contains(i) ? " (written)" : "")}")], new RowGeometry(d => d.Tokens, d => d[FakeModel.Width]));

    private static float Mask(StepState* state, long index) =>
        state->Training == 0 ? 1f : CounterRandom.Uniform(state->SeedLow + ((ulong)state->MicroStep << 32), (ulong)index) < Keep ? (float)(1 / Keep) : 0f;

    private static void RunEmbed(DimBinding dims, nint* args, CpuPool pool)
    {
        int* tokens = (int*)args[0];
        float* table = (float*)args[1];
        StepState* state = (StepState*)args[2];
        float* x = (float*)args[3];
        long width = dims[FakeModel.Width];
        for (long i = 0; i < dims.Tokens * width; i++)
        {
            x[i] = table[(tokens[i / width] * width) + (i % width)] * Mask(state, i);
        }
    }

    private static void RunLayer(DimBinding dims, nint* args, FakeProgram program)
    {
        float* x = (float*)args[0];
        float* gain = (float*)args[1];
        float scale = *(float*)args[2];
        float inverse = *(float*)args[3];
        uint* amax = (uint*)args[4];
        StepState* state = (StepState*)args[5];
        float* y = (float*)args[6];
        long width = dims[FakeModel.Width];
        for (long i = 0; i < dims.Tokens * width; i++)
        {
            *amax = Math.Max(*amax, BitConverter.SingleToUInt32Bits(MathF.Abs(x[i])));
            y[i] = MathF.Round(Math.Clamp(x[i] * scale, -448f, 448f)) * inverse * gain[i % width];
        }

        if (state->Training == 1 && state->MicroStep == program.PoisonedMicroStep)
        {
            y[3] = float.NaN;
        }
    }

    private static void RunLogits(DimBinding dims, nint* args, CpuPool pool)
    {
        float* x = (float*)args[0];
        float* head = (float*)args[1];
        float* logits = (float*)args[2];
        nint chunk = args[3];
        long width = dims[FakeModel.Width], vocabulary = dims[FakeModel.Vocabulary];
        for (long row = 0; row < Rows; row++)
        {
            for (long v = 0; v < vocabulary; v++)
            {
                float sum = 0;
                for (long c = 0; c < width; c++)
                {
                    sum += x[(((chunk * Rows) + row) * width) + c] * head[(v * width) + c];
                }

                logits[(row * vocabulary) + v] = sum;
            }
        }
    }

    private static void RunLoss(DimBinding dims, nint* args, CpuPool pool)
    {
        float* logits = (float*)args[0];
        float* x = (float*)args[1];
        float* head = (float*)args[2];
        int* labels = (int*)args[3];
        float* weights = (float*)args[4];
        StepState* state = (StepState*)args[5];
        float* dx = (float*)args[6];
        float* dhead = (float*)args[7];
        nint chunk = args[8];
        long width = dims[FakeModel.Width], vocabulary = dims[FakeModel.Vocabulary];
        for (long row = 0; row < Rows; row++)
        {
            long token = (chunk * Rows) + row;
            float* line = logits + (row * vocabulary);
            float largest = line[0];
            for (long v = 0; v < vocabulary; v++)
            {
                largest = MathF.Max(largest, line[v]);
            }

            double sum = 0;
            for (long v = 0; v < vocabulary; v++)
            {
                sum += Math.Exp(line[v] - largest);
            }

            float weight = labels[token] < 0 ? 0 : weights[token];
            int label = Math.Max(0, labels[token]);
            state->LossSum += weight * (Math.Log(sum) + largest - line[label]);
            state->WeightSum += weight;
            if (dhead == null)
            {
                continue;
            }

            new Span<float>(dx + (token * width), (int)width).Clear();
            for (long v = 0; v < vocabulary; v++)
            {
                float gradient = (float)((Math.Exp(line[v] - largest) / sum) - (v == label ? 1 : 0)) * weight * state->LossScale;
                for (long c = 0; c < width; c++)
                {
                    dx[(token * width) + c] += gradient * head[(v * width) + c];
                    dhead[(v * width) + c] += gradient * x[(token * width) + c];
                }
            }
        }
    }

    private static void RunLayerGradient(DimBinding dims, nint* args, CpuPool pool)
    {
        float* x = (float*)args[0];
        float* dy = (float*)args[1];
        float* gain = (float*)args[2];
        float* dgain = (float*)args[3];
        float* dx = (float*)args[4];
        long width = dims[FakeModel.Width];
        for (long i = 0; i < dims.Tokens * width; i++)
        {
            dgain[i % width] += dy[i] * x[i];
            dx[i] = dy[i] * gain[i % width];
        }
    }

    private static void RunEmbedGradient(DimBinding dims, nint* args, CpuPool pool)
    {
        int* tokens = (int*)args[0];
        float* dx = (float*)args[1];
        StepState* state = (StepState*)args[2];
        float* dtable = (float*)args[3];
        long width = dims[FakeModel.Width];
        for (long i = 0; i < dims.Tokens * width; i++)
        {
            dtable[(tokens[i / width] * width) + (i % width)] += dx[i] * Mask(state, i);
        }
    }

    private static void RunNorm(DimBinding dims, nint* args, CpuPool pool)
    {
        float* gradients = (float*)args[0];
        nint count = args[1];
        StepState* state = (StepState*)args[2];
        double sum = 0;
        for (nint i = 0; i < count; i++)
        {
            sum += (double)gradients[i] * gradients[i];
        }

        state->GradientNorm = (float)Math.Sqrt(sum);
        state->ClipFactor = state->MaxGradientNorm > 0 ? MathF.Min(1, state->MaxGradientNorm / (state->GradientNorm + 1e-6f)) : 1;
        state->SkipStep = state->SkipStep != 0 ? StepState.Halted : float.IsFinite(state->GradientNorm) ? 0u : StepState.Skipped;
    }

    private static void RunAdamW(DimBinding dims, nint* args, CpuPool pool)
    {
        float* master = (float*)args[0];
        float* gradients = (float*)args[1];
        float* m = (float*)args[2];
        float* v = (float*)args[3];
        nint count = args[4];
        nint decayed = args[5];
        StepState* state = (StepState*)args[6];
        for (nint i = 0; i < count && state->SkipStep == 0; i++)
        {
            float g = gradients[i] * state->ClipFactor;
            m[i] = (state->Beta1 * m[i]) + ((1 - state->Beta1) * g);
            v[i] = (state->Beta2 * v[i]) + ((1 - state->Beta2) * g * g);
            float update = m[i] / state->BiasCorrection1 / (MathF.Sqrt(v[i] / state->BiasCorrection2) + state->Epsilon);
            master[i] -= state->LearningRate * (update + (i < decayed ? state->WeightDecay * master[i] : 0));
        }
    }

    private static void RunScales(DimBinding dims, nint* args, CpuPool pool)
    {
        float* scale = (float*)args[0];
        float* inverse = (float*)args[1];
        uint* amax = (uint*)args[2];
        float* history = (float*)args[3];
        float* largest = (float*)args[4];
        nint slots = args[5];
        nint length = args[6];
        bool halted = ((StepState*)args[7])->SkipStep == StepState.Halted;
        for (nint s = 0; s < slots; s++)
        {
            float top = 0;
            for (nint h = length - 1; h >= 0 && !halted; h--)
            {
                history[(h * slots) + s] = h == 0 ? BitConverter.UInt32BitsToSingle(amax[s]) : history[((h - 1) * slots) + s];
                top = MathF.Max(top, history[(h * slots) + s]);
            }

            amax[s] = 0;
            if (float.IsFinite(top) && top > 0)
            {
                scale[s] = largest[s] / top;
                inverse[s] = 1 / scale[s];
            }
        }
    }
}
