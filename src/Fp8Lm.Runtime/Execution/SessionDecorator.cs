using System;
using Fp8Lm.Cpu;

namespace Fp8Lm.Execution;

/// <summary>Hands everything on to another session, which it does not own; subclasses look at what passes.</summary>
internal abstract class SessionDecorator(Session inner) : Session
{
    public override MemoryPlan Plan => inner.Plan;

    public override string Device => inner.Device;

    public override DimBinding Dims => inner.Dims;

    public override bool Checkpointing => inner.Checkpointing;

    public override nint State => inner.State;

    public override nint Tokens => inner.Tokens;

    public override nint Labels => inner.Labels;

    public override nint LabelWeights => inner.LabelWeights;

    public override nint MasterArena => inner.MasterArena;

    public override nint GradientArena => inner.GradientArena;

    public override nint FirstMomentArena => inner.FirstMomentArena;

    public override nint SecondMomentArena => inner.SecondMomentArena;

    public override nint ScaleArena => inner.ScaleArena;

    public override nint ScaleInverseArena => inner.ScaleInverseArena;

    public override nint AmaxArena => inner.AmaxArena;

    public override nint AmaxHistoryArena => inner.AmaxHistoryArena;

    public override nint ScaleMaximumArena => inner.ScaleMaximumArena;

    public override long ParameterElements => inner.ParameterElements;

    public override long DecayedElements => inner.DecayedElements;

    public override long ScaleSlots => inner.ScaleSlots;

    public override nint ReductionScratch => inner.ReductionScratch;

    public override bool GradientsHold
    {
        get => inner.GradientsHold;
        set => inner.GradientsHold = value;
    }

    public override bool CountsCasts
    {
        get => inner.CountsCasts;
        set => inner.CountsCasts = value;
    }

    public override nint CastStatistics(int cast, long layer) => inner.CastStatistics(cast, layer);

    public override nint StateCasts => inner.StateCasts;

    public override nint Workspace(WorkspacePart part) => inner.Workspace(part);

    public override nint Scale(int scale, long layer) => inner.Scale(scale, layer);

    public override nint ScaleInverse(int scale, long layer) => inner.ScaleInverse(scale, layer);

    public override nint Amax(int scale, long layer) => inner.Amax(scale, layer);

    public override nint Buffer(int buffer, long layer) => inner.Buffer(buffer, layer);

    public override nint Master(int parameter, long layer) => inner.Master(parameter, layer);

    public override nint Gradient(int parameter, long layer) => inner.Gradient(parameter, layer);

    public override void Launch(int kernel, params ReadOnlySpan<nint> args) => inner.Launch(kernel, args);

    public override void CopyToHost(nint source, Span<byte> destination) => inner.CopyToHost(source, destination);

    public override void CopyFromHost(ReadOnlySpan<byte> source, nint destination) => inner.CopyFromHost(source, destination);

    internal override CpuPool HostPool => inner.HostPool;

    internal override void WritePieces(nint destination, long bytes, PieceWriter write) => inner.WritePieces(destination, bytes, write);

    public override void Clear(nint address, long bytes) => inner.Clear(address, bytes);

    public override void Synchronize() => inner.Synchronize();

    protected override void Dispose(bool disposing)
    {
        // The session belongs to whoever made it.
    }
}
