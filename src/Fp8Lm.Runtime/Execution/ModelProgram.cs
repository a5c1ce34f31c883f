using System.Collections.Generic;

namespace Fp8Lm.Execution;

/// <summary>
/// One recipe of one model, compiled. Generated subclasses list kernels and buffers and drive them; the bodies of the methods
/// are straight sequences of <see cref="Session.Launch"/> calls and loops over layers, the same on every back end.
/// </summary>
public abstract class ModelProgram
{
    /// <summary>Name of the recipe, for example <c>TransformerEngine</c>.</summary>
    public abstract string Recipe { get; }

    /// <summary>Kernels, indexed by the numbers that <see cref="Session.Launch"/> gets.</summary>
    public abstract IReadOnlyList<KernelInfo> Kernels { get; }

    /// <summary>Buffers, indexed by the numbers that <see cref="Session.Buffer"/> gets.</summary>
    public abstract IReadOnlyList<BufferInfo> Buffers { get; }

    /// <summary>Families of FP8 scales, indexed by the numbers that the scale addresses of <see cref="Session"/> get.</summary>
    public abstract IReadOnlyList<ScaleInfo> Scales { get; }

    /// <summary>The casts whose numerics can be counted, indexed by the numbers that <see cref="Session.CastStatistics"/> gets; behind those of the schedule what the optimizer stores.</summary>
    public virtual IReadOnlyList<CastInfo> Casts => [];

    /// <summary>The linears of repeated modules, in recipes with FP8; empty in others.</summary>
    public virtual IReadOnlyList<LinearInfo> Linears => [];

    /// <summary>The scaling policy; null for recipes without FP8.</summary>
    public abstract ScalingInfo? Scaling { get; }

    /// <summary>Dynamic loss scaling; null for recipes without.</summary>
    public virtual LossScalingInfo? LossScaling => null;

    /// <summary>Formats of what the optimizer keeps, by parameter; empty when all of it is F32.</summary>
    public virtual IReadOnlyList<ParameterFormats> ParameterFormats => [];

    /// <summary>Formats of what the optimizer keeps for a parameter.</summary>
    public ParameterFormats FormatsOf(int parameter) => ParameterFormats.Count == 0 ? Execution.ParameterFormats.F32 : ParameterFormats[parameter];

    /// <summary>
    /// Parameters whose gradient the first micro-batch of a step assigns (<see cref="Session.GradientsHold"/> is false), so that
    /// <see cref="Session.ClearGradients"/> leaves them out; all others are added to what is there.
    /// </summary>
    public virtual IReadOnlyList<int> AssignedGradients => [];

    /// <summary>The printed IR after every pass, for <c>kernels</c> on the command line.</summary>
    public abstract string PrintedIr { get; }

    /// <summary>Index of the buffer that holds one chunk of logits [<see cref="ChunkRows"/>, vocabulary].</summary>
    public abstract int LogitsBuffer { get; }

    /// <summary>Rows of one chunk of logits.</summary>
    public abstract long ChunkRows(DimBinding dims);

    /// <summary>
    /// Whether every thread of every kernel waits for the kernel before it (<c>fp8lm/common/begin_grid.cuh</c>), so that kernels may be launched to overlap.
    /// False for programs of a generator that did not know of it.
    /// </summary>
    public virtual bool KernelsOverlap => false;

    /// <summary>Whether a repeated block of the model asks for activation checkpointing (<c>Checkpoint = true</c>); the command line then turns it on.</summary>
    public virtual bool PrefersCheckpointing => false;

    /// <summary>Why these dimensions cannot run, in words that say what to change; null when they can.</summary>
    public virtual string? Problem(DimBinding dims) => null;

    /// <summary>Writes the copies of the weights in the formats kernels read; after initialisation, loading, and every optimizer step.</summary>
    public abstract void CastWeights(Session session);

    /// <summary>Forward pass of one micro-batch up to the input of the output head.</summary>
    public abstract void Forward(Session session);

    /// <summary>Head and loss of one micro-batch; with <paramref name="train"/> also the gradients of the head and of its input.</summary>
    public abstract void Loss(Session session, bool train);

    /// <summary>Logits of the rows of one chunk (rows chunk * ChunkRows and following) into <see cref="LogitsBuffer"/>; after <see cref="Forward"/>.</summary>
    public abstract void Logits(Session session, long chunk);

    /// <summary>Backward pass of one micro-batch; gradients of parameters are added to what <see cref="Session.ClearGradients"/> and the micro-batches since left.</summary>
    public abstract void Backward(Session session);

    /// <summary>Gradient norm, clipping, AdamW, scale update and <see cref="CastWeights"/>.</summary>
    public abstract void Optimize(Session session);

    /// <summary>Rolls the amax histories and derives the next scales, as <see cref="Optimize"/> does in passing; nothing in recipes without FP8. Calibrates scales before the first step.</summary>
    public abstract void UpdateScales(Session session);

    /// <summary>Forward, loss and backward of the micro-batch that is loaded.</summary>
    public abstract void TrainMicroBatch(Session session);
}
