using System;
using System.Collections.Generic;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>
/// Runs a program on another session and looks at the tensors of every launch after it, until one is not finite. Addresses are turned back into
/// names by noting what the program asked for; memory is shared over time, so the latest request for an address counts.
/// </summary>
internal sealed class NonFiniteTracer(Session inner, ModelDefinition definition, ModelProgram program) : SessionDecorator(inner)
{
    private readonly Dictionary<nint, Region> regions = [];

    /// <summary>A sentence about the first tensor that was not finite; null so far.</summary>
    public string? Finding { get; private set; }

    public override nint Buffer(int buffer, long layer)
    {
        BufferInfo info = program.Buffers[buffer];
        return Note(base.Buffer(buffer, layer), info.Name, info.Scope == BufferScope.Single ? null : layer, Plan.Buffers[buffer].Bytes, info.Format);
    }

    public override nint Master(int parameter, long layer) => Parameter(base.Master(parameter, layer), ArenaKind.Master, parameter, layer, "weight ");

    public override nint Gradient(int parameter, long layer) => Parameter(base.Gradient(parameter, layer), ArenaKind.Gradients, parameter, layer, "gradient of ");

    public override void Launch(int kernel, params ReadOnlySpan<nint> args)
    {
        if (Finding is not null)
        {
            return;
        }

        base.Launch(kernel, args);
        foreach (nint argument in args)
        {
            if (Find(argument) is { } region && NonFiniteSearch.HasNonFinite(this, region.Address, region.Bytes, region.Format))
            {
                Finding = $"The first tensor that is not finite is {region.Name}, after kernel {program.Kernels[kernel].Name}.";
                return;
            }
        }
    }

    private nint Parameter(nint address, ArenaKind arena, int parameter, long layer, string role)
    {
        ParameterInfo info = definition.Parameters[parameter];
        ElementFormat format = program.FormatsOf(parameter).Of(arena);
        return Note(address, role + info.InstanceName(layer), null, info.Elements(Dims) * format.Bytes(), format);
    }

    private nint Note(nint address, string name, long? layer, long bytes, ElementFormat format)
    {
        regions[address] = new Region(address, layer is null ? name : FormattableString.Invariant($"{name} of layer {layer}"), bytes, format);
        return address;
    }

    private Region? Find(nint argument)
    {
        // Chunks are addressed as an offset from their buffer; an exact hit is the common case.
        if (regions.TryGetValue(argument, out Region? exact))
        {
            return exact;
        }

        foreach (Region region in regions.Values)
        {
            if (argument > region.Address && argument < region.Address + region.Bytes)
            {
                return region;
            }
        }

        return null;
    }

    private sealed record Region(nint Address, string Name, long Bytes, ElementFormat Format);
}
