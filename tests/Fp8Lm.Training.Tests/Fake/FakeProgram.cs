using System.Collections.Generic;
using Fp8Lm.Execution;

namespace Fp8Lm.Training.Tests.Fake;

/// <summary>The launches of <see cref="FakeModel"/>, shaped like generated code.</summary>
internal sealed class FakeProgram : ModelProgram
{
    private const int X = 0, LogitsChunk = 1, GradientX = 2;
    private const int Rows = 8;

    /// <summary>Micro-step at which a layer writes a NaN; none by default.</summary>
    public uint PoisonedMicroStep { get; set; } = uint.MaxValue;

    public override string Recipe => "Fake8";

    public override IReadOnlyList<KernelInfo> Kernels => field ??= FakeKernels.Table(this);

    public override IReadOnlyList<BufferInfo> Buffers { get; } =
    [
        new("x", BufferCategory.Activations, ElementFormat.F32, d => d.Tokens * d[FakeModel.Width], BufferScope.Carried, d => d[FakeModel.Layers], 0, 9),
        new("logits", BufferCategory.Activations, ElementFormat.F32, d => Rows * d[FakeModel.Vocabulary], BufferScope.Single, _ => 1, 4, 5),
        new("dx", BufferCategory.Activations, ElementFormat.F32, d => d.Tokens * d[FakeModel.Width], BufferScope.PingPong, d => d[FakeModel.Layers], 4, 9),
    ];

    public override IReadOnlyList<ScaleInfo> Scales { get; } = [new("blocks.*.gain/input", ElementFormat.E4M3, d => d[FakeModel.Layers])];

    public override ScalingInfo? Scaling { get; } = new(Delayed: true, HistoryLength: 4, PowerOfTwo: false, Margin: 0);

    public override string PrintedIr => "x = embed(tokens)\n";

    public override int LogitsBuffer => LogitsChunk;

    public override long ChunkRows(DimBinding dims) => Rows;

    public override void CastWeights(Session session)
    {
        // Kernels read the master weights.
    }

    public override void Forward(Session session)
    {
        session.Launch(FakeKernels.Embed, session.Tokens, session.Master(FakeModel.Tokens, 0), session.State, session.Buffer(X, 0));
        for (long layer = 0; layer < session.Dims[FakeModel.Layers]; layer++)
        {
            session.Launch(
                FakeKernels.Layer, session.Buffer(X, layer), session.Master(FakeModel.Gain, layer), session.Scale(0, layer), session.ScaleInverse(0, layer),
                session.Amax(0, layer), session.State, session.Buffer(X, layer + 1));
        }
    }

    public override void Loss(Session session, bool train)
    {
        long layers = session.Dims[FakeModel.Layers];
        for (long chunk = 0; chunk < session.Dims.Tokens / Rows; chunk++)
        {
            Logits(session, chunk);
            session.Launch(
                FakeKernels.Loss, session.Buffer(LogitsChunk, 0), session.Buffer(X, layers), session.Master(FakeModel.Head, 0), session.Labels, session.LabelWeights,
                session.State, session.Buffer(GradientX, layers), train ? session.Gradient(FakeModel.Head, 0) : 0, (nint)chunk);
        }
    }

    public override void Logits(Session session, long chunk) => session.Launch(
        FakeKernels.Logits, session.Buffer(X, session.Dims[FakeModel.Layers]), session.Master(FakeModel.Head, 0), session.Buffer(LogitsChunk, 0), (nint)chunk);

    public override void Backward(Session session)
    {
        for (long layer = session.Dims[FakeModel.Layers] - 1; layer >= 0; layer--)
        {
            session.Launch(
                FakeKernels.LayerGradient, session.Buffer(X, layer), session.Buffer(GradientX, layer + 1), session.Master(FakeModel.Gain, layer),
                session.Gradient(FakeModel.Gain, layer), session.Buffer(GradientX, layer));
        }

        session.Launch(FakeKernels.EmbedGradient, session.Tokens, session.Buffer(GradientX, 0), session.State, session.Gradient(FakeModel.Tokens, 0));
    }

    public override void Optimize(Session session)
    {
        session.Launch(FakeKernels.Norm, session.GradientArena, (nint)session.ParameterElements, session.State);
        session.Launch(
            FakeKernels.AdamW, session.MasterArena, session.GradientArena, session.FirstMomentArena, session.SecondMomentArena, (nint)session.ParameterElements,
            (nint)session.DecayedElements, session.State);
        UpdateScales(session);
        CastWeights(session);
    }

    public override void UpdateScales(Session session) => session.Launch(
        FakeKernels.Scales, session.ScaleArena, session.ScaleInverseArena, session.AmaxArena, session.AmaxHistoryArena, session.ScaleMaximumArena,
        (nint)session.ScaleSlots, Scaling!.HistoryLength, session.State);

    public override void TrainMicroBatch(Session session)
    {
        Forward(session);
        Loss(session, train: true);
        Backward(session);
    }
}
