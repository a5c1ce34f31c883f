using System;
using Fp8Lm.Cpu;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Training;

namespace Fp8Lm.Training.Tests.Fake;

/// <summary>
/// A model written by hand against the contract of generated programs: embedding, a few layers that multiply by a gain behind a fake
/// quantisation, and a head. It has everything that a checkpoint must hold (repeated parameters, moments, scales with history, dropout) and
/// trains in milliseconds.
/// </summary>
internal sealed class FakeModel : IFp8Model
{
    public const int Tokens = 0, Gain = 1, Head = 2;
    public const int Vocabulary = 2, Width = 3, Layers = 4;

    public static ModelDefinition Definition { get; } = new(
        "Fake",
        ["Vocabulary", "Width", "Layers"],
        [new ModelSizeInfo("Tiny", [256, 8, 2]), new ModelSizeInfo("Small8", [256, 16, 3])],
        [
            new ParameterInfo("tokens", d => [d[Vocabulary], d[Width]], _ => 1, false, InitKind.Normal, 0.5f, Decay: true),
            new ParameterInfo("blocks.*.gain", d => [d[Width]], d => d[Layers], true, InitKind.Ones, 0, Decay: false),
            new ParameterInfo("head", d => [d[Vocabulary], d[Width]], _ => 1, false, InitKind.ScaledNormal, 0.2f, Decay: true),
        ],
        Tokens,
        [() => new FakeProgram()],
        ["Fake8"]);

    public static DimBinding Dims(long microBatch = 2, long sequence = 16) => new(microBatch, sequence, 256, 8, 2);

    public static CpuSession Session(FakeProgram program, DimBinding? dims = null, bool training = true) =>
        new(MemoryPlan.Create(Definition, program, dims ?? Dims(), checkpointing: false, training), new CpuPool(1));

    /// <summary>Text in which the next byte is easy to guess.</summary>
    public static SequenceSource Data(long sequence = 16, ulong seed = 7)
    {
        var corpus = new ByteCorpus();
        for (int i = 0; i < 40; i++)
        {
            corpus.Add(System.Text.Encoding.ASCII.GetBytes(FormattableString.Invariant($"the {i} quick brown foxes jump over the lazy dog and back again {i * i}")));
        }

        return new SequenceSource(corpus, (int)sequence, seed, shuffle: true);
    }
}
