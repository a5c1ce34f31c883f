using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>
/// Runs a program on another session and looks at the tensors of every launch, until one is not finite; later launches are not run any more, but tell
/// which product would have read that tensor. Addresses are turned back into names by noting what the program asked for; memory is shared over time, so the latest
/// request for an address counts. Amax are looked at as well: a value that is stored in FP8 alone saturates there, and only its amax tells.
/// </summary>
internal sealed class NonFiniteTracer(Session inner, ModelDefinition definition, ModelProgram program) : SessionDecorator(inner)
{
    private readonly Dictionary<nint, Region> regions = [];
    private readonly Dictionary<nint, string> writers = [];
    private Region? found;
    private string? use;

    /// <summary>A sentence about the first tensor that was not finite; null so far.</summary>
    public string? Finding => found is null ? null : $"The first tensor that is not finite is {found.Name}{(use is null ? "" : $", the {use}")}, {(writers.TryGetValue(found.Address, out string? writer) ? $"after kernel {writer}" : "before any kernel of the step")}.";

    public override nint Buffer(int buffer, long layer)
    {
        BufferInfo info = program.Buffers[buffer];
        Kind kind = info.Category == BufferCategory.Weights ? Kind.Weight : Kind.Value;
        return Note(base.Buffer(buffer, layer), new Region(kind, NonFiniteNames.Buffer(info, layer, Dims), Plan.Buffers[buffer].Bytes, info.Format) { Weight = kind == Kind.Weight ? NonFiniteNames.WeightOf(info, layer, Dims) : null });
    }

    public override nint Master(int parameter, long layer) => Parameter(base.Master(parameter, layer), ArenaKind.Master, parameter, layer, Kind.Weight, "weight ");

    public override nint Gradient(int parameter, long layer)
    {
        if (Plan.ScaledStates)
        {
            Note(GradientAmax(parameter, layer), new Region(Kind.Amax, $"gradient of {NonFiniteNames.Parameter(definition.Parameters[parameter], layer)} (amax)", sizeof(float), ElementFormat.F32));
        }

        return Parameter(base.Gradient(parameter, layer), ArenaKind.Gradients, parameter, layer, Kind.Gradient, "gradient of ");
    }

    public override nint Amax(int scale, long layer) => Slot(base.Amax(scale, layer), scale, layer, Kind.Amax);

    // Products take the reciprocal scales of what they read.
    public override nint ScaleInverse(int scale, long layer) => Slot(base.ScaleInverse(scale, layer), scale, layer, Kind.Scale);

    public override void Launch(int kernel, params ReadOnlySpan<nint> args)
    {
        if (found is not null)
        {
            use ??= Use(program.Kernels[kernel], args);
            return;
        }

        // Several kernels may write one tensor in parts, so values are looked at where they are read; weights come first, because what they spoil comes after them.
        KernelInfo info = program.Kernels[kernel];
        List<Region> read = [], written = [];
        for (int i = 0; i < args.Length; i++)
        {
            if (Find(args[i]) is { } region)
            {
                (IsWritten(info, i) ? written : read).Add(region);
            }
        }

        if (!Look(read.Where(r => r.Kind is Kind.Weight or Kind.Value).OrderBy(r => r.Kind)))
        {
            base.Launch(kernel, args);
            written.ForEach(r => writers[r.Address] = info.Name);
            Look(written.Where(r => r.Kind is Kind.Gradient or Kind.Amax).OrderBy(r => r.Kind));
        }

        use = found is null ? null : Use(info, args);
    }

    private static bool IsWritten(KernelInfo kernel, int argument) => kernel.Arguments[argument].EndsWith("(written)", StringComparison.Ordinal);

    /// <summary>Whether one of some tensors is not finite.</summary>
    private bool Look(IEnumerable<Region> looked)
    {
        found = looked.FirstOrDefault(r => NonFiniteSearch.HasNonFinite(this, r.Address, r.Bytes, r.Format));
        return found is not null;
    }

    private nint Parameter(nint address, ArenaKind arena, int parameter, long layer, Kind kind, string role)
    {
        ParameterInfo info = definition.Parameters[parameter];
        ElementFormat format = program.FormatsOf(parameter).Of(arena);
        string path = NonFiniteNames.Parameter(info, layer);
        return Note(address, new Region(kind, role + path, info.Elements(Dims) * format.Bytes(), format) { Weight = path });
    }

    private nint Slot(nint address, int scale, long layer, Kind kind) =>
        Note(address, new Region(kind, NonFiniteNames.Scale(program.Scales[scale], layer), sizeof(float), ElementFormat.F32) { Weight = NonFiniteNames.WeightOf(program.Scales[scale], layer) });

    private nint Note(nint address, Region region)
    {
        regions[address] = region with { Address = address };
        return address;
    }

    /// <summary>As what a product of a linear reads the tensor that was found; null when this kernel is none, or does not read it.</summary>
    private string? Use(KernelInfo kernel, ReadOnlySpan<nint> args)
    {
        Kind[] same = found!.Kind == Kind.Amax ? [Kind.Scale] : [found.Kind];
        string? weight = null;
        int operand = -1, scales = 0;
        for (int i = 0; i < args.Length; i++)
        {
            if (Find(args[i]) is not { } region)
            {
                continue;
            }

            int place = region.Kind == Kind.Scale ? scales++ : i;
            operand = operand < 0 && place < 2 && region.Name == found.Name && same.Contains(region.Kind) ? place : operand;
            weight ??= region.Kind == Kind.Weight && i != 1 ? null : region.Weight;
        }

        return operand >= 0 && NonFiniteNames.Operand(kernel, operand) is { } role && weight is not null ? $"{role} of {weight}" : null;
    }

    private Region? Find(nint argument)
    {
        // Chunks are addressed as an offset from their buffer; an exact hit is the common case.
        if (regions.TryGetValue(argument, out Region? exact))
        {
            return exact;
        }

        return regions.Values.FirstOrDefault(region => argument > region.Address && argument < region.Address + (nint)region.Bytes);
    }

    /// <summary>In the order in which the operands of a kernel are looked at.</summary>
    private enum Kind
    {
        Weight,
        Value,
        Gradient,
        Amax,
        Scale,
    }

    private sealed record Region(Kind Kind, string Name, long Bytes, ElementFormat Format)
    {
        public nint Address { get; init; }

        public string? Weight { get; init; }
    }
}
