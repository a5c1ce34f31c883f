using System;

namespace Fp8Lm.Collectives;

/// <summary>A GPT and how it is spread over GPUs, for arithmetic about bytes on the wire.</summary>
/// <param name="Layers">Transformer blocks.</param>
/// <param name="Width">Width d of the residual stream.</param>
/// <param name="Tensor">Tensor-parallel ranks.</param>
/// <param name="Pipeline">Pipeline stages.</param>
/// <param name="Data">Data-parallel ranks.</param>
/// <param name="Vocabulary">Rows of the embedding; GPT-2's padded to 51,200 in the paper's runs.</param>
public sealed record ParallelGpt(long Layers, long Width, long Tensor, long Pipeline, long Data, long Vocabulary = 51_200);

/// <summary>
/// Communication volumes in bytes per GPU, closed forms that give the published figures of FP8-LM (fact sheet 1.4 and 1.6; Tables 5 and 7 of
/// the paper): to two digits 37.15, 13.90, 34.33, 12.36, 23.44 and 8.25 GiB where the paper prints 37.2, 13.9, 34.3, 12.4, 23.4 and 8.2.
/// </summary>
public static class CommunicationVolume
{
    private const int HighPrecisionBytes = 4 + 2; // FP32 reduce-scatter of gradients, BF16 all-gather of weights
    private const int Fp8Bytes = 1 + 1;
    private const int RegionsPerLayer = 2;        // attention and MLP

    /// <summary>Weights and their gradients per optimizer step: <c>6 (P + 2E) (N - 1) / N</c> for BF16 and for Transformer Engine.</summary>
    /// <exception cref="ArgumentException">A size is below 1.</exception>
    public static double WeightsBf16(ParallelGpt model) => HighPrecisionBytes * (Linears(model) + (2 * Embedding(model))) * Others(model.Data);

    /// <summary>The same for FP8-LM: <c>(2 P + 12 E) (N - 1) / N</c>; one byte each way for the linears of the blocks, embedding and head as before.</summary>
    /// <exception cref="ArgumentException">A size is below 1.</exception>
    public static double WeightsFp8(ParallelGpt model) => ((Fp8Bytes * Linears(model)) + (HighPrecisionBytes * 2 * Embedding(model))) * Others(model.Data);

    /// <summary>
    /// Activations of sequence and tensor parallelism per micro-batch: in each of two regions of a layer two all-gathers (forward, and again for the weight
    /// gradient) and a reduce-scatter (input gradient), all in 16 bits.
    /// </summary>
    /// <param name="model">The model; its data-parallel ranks do not matter.</param>
    /// <param name="sequence">Tokens of a sequence.</param>
    /// <param name="microBatch">Sequences of a micro-batch.</param>
    /// <exception cref="ArgumentException">A size is below 1.</exception>
    public static double ActivationsBf16(ParallelGpt model, long sequence, long microBatch) => Activations(model, sequence, microBatch, 2 + 2 + 2);

    /// <summary>The same for FP8-LM: the all-gathers move one byte, the reduce-scatter two.</summary>
    /// <inheritdoc cref="ActivationsBf16"/>
    public static double ActivationsFp8(ParallelGpt model, long sequence, long microBatch) => Activations(model, sequence, microBatch, 1 + 1 + 2);

    private static double Activations(ParallelGpt model, long sequence, long microBatch, int bytes)
    {
        Check(model);
        Check(sequence, nameof(sequence));
        Check(microBatch, nameof(microBatch));
        return RegionsPerLayer * (double)model.Layers / model.Pipeline * sequence * microBatch * model.Width * bytes * Others(model.Tensor);
    }

    /// <summary>Elements of the blocks' linears on one GPU: 12 d² a layer.</summary>
    private static double Linears(ParallelGpt model)
    {
        Check(model);
        return 12.0 * model.Layers * model.Width * model.Width / (model.Tensor * model.Pipeline);
    }

    private static double Embedding(ParallelGpt model) => (double)model.Vocabulary * model.Width / model.Tensor;

    private static double Others(long ranks) => (ranks - 1.0) / ranks;

    private static void Check(ParallelGpt model)
    {
        ArgumentNullException.ThrowIfNull(model);
        Check(model.Layers, nameof(model.Layers));
        Check(model.Width, nameof(model.Width));
        Check(model.Tensor, nameof(model.Tensor));
        Check(model.Pipeline, nameof(model.Pipeline));
        Check(model.Data, nameof(model.Data));
        Check(model.Vocabulary, nameof(model.Vocabulary));
    }

    private static void Check(long value, string name)
    {
        if (value < 1)
        {
            throw new ArgumentException($"{name} is {value}; sizes and numbers of ranks are at least 1.");
        }
    }
}
