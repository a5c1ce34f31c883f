using System;
using System.Collections.Generic;

namespace Fp8Lm.Execution;

/// <summary>How a parameter starts.</summary>
public enum InitKind
{
    /// <summary>Normal with mean 0 and standard deviation <see cref="ParameterInfo.InitValue"/>.</summary>
    Normal,
    /// <summary>All zeros.</summary>
    Zeros,
    /// <summary>All ones.</summary>
    Ones,
    /// <summary>All equal to <see cref="ParameterInfo.InitValue"/>.</summary>
    Constant,
    /// <summary>Normal with standard deviation <see cref="ParameterInfo.InitValue"/> / sqrt(2 * number of repeated blocks), GPT-2's rule for projections into the residual stream.</summary>
    ScaledNormal,
}

/// <summary>One parameter of a model; parameters of a repeated block are listed once and have one instance per layer.</summary>
/// <param name="Name">Path with a <c>*</c> for the layer, for example <c>blocks.*.attention.qkv</c>.</param>
/// <param name="Shape">Extents of one instance.</param>
/// <param name="Layers">Number of instances: 1, or the loop's count.</param>
/// <param name="Repeated">True for a parameter of a repeated block (the name has a <c>*</c>).</param>
/// <param name="Init">How instances start.</param>
/// <param name="InitValue">Parameter of <paramref name="Init"/>.</param>
/// <param name="Decay">Whether weight decay applies (matrices by default, vectors not).</param>
public sealed record ParameterInfo(
    string Name, Func<DimBinding, long[]> Shape, Func<DimBinding, long> Layers, bool Repeated, InitKind Init, float InitValue, bool Decay)
{
    /// <summary>The name of one instance.</summary>
    public string InstanceName(long layer) => Repeated ? Name.Replace("*", layer.ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal) : Name;

    /// <summary>Elements of one instance.</summary>
    public long Elements(DimBinding dims)
    {
        long product = 1;
        foreach (long extent in Shape(dims))
        {
            product = checked(product * extent);
        }

        return product;
    }
}

/// <summary>A named size of a model: one value per model dimension.</summary>
public sealed record ModelSizeInfo(string Name, long[] Values);

/// <summary>What a buffer counts as in the memory plan.</summary>
public enum BufferCategory
{
    /// <summary>Copies of weights in the format the kernels read (BF16, FP8 row-major and transposed).</summary>
    Weights,
    /// <summary>Gradients of parameters.</summary>
    Gradients,
    /// <summary>Master weights and moments.</summary>
    Optimizer,
    /// <summary>Values saved from forward for backward, and values in flight.</summary>
    Activations,
    /// <summary>Scratch of single kernels, scales and histories.</summary>
    Workspace,
}

/// <summary>How many instances of a buffer live at once.</summary>
public enum BufferScope
{
    /// <summary>One.</summary>
    Single,
    /// <summary>One per layer of its loop; a single one when the loop is checkpointed.</summary>
    PerLayer,
    /// <summary>One per layer and one more: the value carried into layer l is instance l, its result instance l + 1. Kept under checkpointing.</summary>
    Carried,
    /// <summary>Two that layers use in turn.</summary>
    PingPong,
    /// <summary>One per layer, kept under checkpointing as well (FP8 copies of weights).</summary>
    PerLayerAlways,
}

/// <summary>One buffer of a compiled program.</summary>
/// <param name="Name">Name of the value it holds, for messages and plans.</param>
/// <param name="Category">Row of the memory table it counts in.</param>
/// <param name="Format">Element format.</param>
/// <param name="Elements">Elements of one instance.</param>
/// <param name="Scope">How many instances live at once.</param>
/// <param name="Layers">Layers of the loop it belongs to (1 outside loops).</param>
/// <param name="FirstUse">First position of the schedule at which it is live.</param>
/// <param name="LastUse">Last position of the schedule at which it is live; buffers with disjoint intervals share memory.</param>
public sealed record BufferInfo(
    string Name, BufferCategory Category, ElementFormat Format, Func<DimBinding, long> Elements, BufferScope Scope, Func<DimBinding, long> Layers,
    int FirstUse, int LastUse)
{
    /// <summary>Last position when its loop is checkpointed: the forward body then runs again inside the backward loop.</summary>
    public int LastUseCheckpointed { get; init; } = LastUse;
}

/// <summary>One family of per-tensor FP8 scales: a quantised tensor has one slot per layer.</summary>
/// <param name="Name">The tensor's name and role, for example <c>blocks.*.mlp.up/input</c>.</param>
/// <param name="Format">E4M3 or E5M2.</param>
/// <param name="Layers">Number of slots.</param>
public sealed record ScaleInfo(string Name, ElementFormat Format, Func<DimBinding, long> Layers);

/// <summary>One cast of a program, to FP8 or to what the optimizer stores: what is cast, and where its numerics are counted, in a slot per layer.</summary>
/// <param name="Name">The tensor's name, with a <c>*</c> for the layer in repeated modules: <c>blocks.*.up</c>.</param>
/// <param name="Role">
/// What it is to the products that read it: <c>input</c>, <c>weight</c>, <c>gradient</c> (of an output), or <c>weight_gradient</c>; or to the optimizer: <c>master</c>,
/// <c>first_moment</c> or <c>second_moment</c>.
/// </param>
/// <param name="Format">E4M3 or E5M2; of what the optimizer stores also F16 or BF16.</param>
/// <param name="Layers">Number of slots.</param>
public sealed record CastInfo(string Name, string Role, ElementFormat Format, Func<DimBinding, long> Layers)
{
    /// <summary>Whether there is a slot per layer of a repeated module.</summary>
    public bool Repeated => Name.Contains('*', StringComparison.Ordinal);

    /// <summary>Which state of which parameter it is; null for what is no state of the optimizer.</summary>
    public StatePlace? State { get; init; }
}

/// <summary>A state of the optimizer.</summary>
/// <param name="Arena">Where it lies.</param>
/// <param name="Parameter">Number of its parameter.</param>
public readonly record struct StatePlace(ArenaKind Arena, int Parameter);

/// <summary>How what the optimizer keeps for a parameter is stored. F16, E4M3 and E5M2 have a scale per instance, a power of two (fact sheet, section 2.2).</summary>
/// <param name="Master">Its weights.</param>
/// <param name="Gradient">Its gradient.</param>
/// <param name="FirstMoment">Adam's m.</param>
/// <param name="SecondMoment">Adam's v.</param>
/// <param name="Linear">Whether it is the weight of a linear in a repeated module: the formats of master and gradient are those of the recipe.</param>
/// <param name="WeightScale">Scale family of its FP8 copies, which the optimizer keeps; -1: none.</param>
/// <param name="Grouped">Whether moments in E4M3 or E5M2 have a scale and an exponent for every 128 elements, in the order of memory, instead of a scale (COAT, arXiv 2410.19313, section 4).</param>
public sealed record ParameterFormats(
    ElementFormat Master, ElementFormat Gradient, ElementFormat FirstMoment, ElementFormat SecondMoment, bool Linear = false, int WeightScale = -1, bool Grouped = false)
{
    /// <summary>Everything in F32.</summary>
    public static readonly ParameterFormats F32 = new(ElementFormat.F32, ElementFormat.F32, ElementFormat.F32, ElementFormat.F32);

    /// <summary>Whether anything of it has a scale.</summary>
    public bool Scaled => IsScaled(ArenaKind.Master) || IsScaled(ArenaKind.Gradients) || IsScaled(ArenaKind.FirstMoment) || IsScaled(ArenaKind.SecondMoment);

    /// <summary>Whether what one of the parameter arenas holds has a scale per instance.</summary>
    public bool IsScaled(ArenaKind arena) => Of(arena).ScaledMaximum() > 0 && !IsGrouped(arena);

    /// <summary>Whether it has a scale and an exponent for every 128 elements.</summary>
    public bool IsGrouped(ArenaKind arena) => Grouped && (arena is ArenaKind.FirstMoment or ArenaKind.SecondMoment) && (Of(arena) is ElementFormat.E4M3 or ElementFormat.E5M2);

    /// <summary>The format of one of the parameter arenas.</summary>
    /// <exception cref="System.ArgumentOutOfRangeException">The arena holds no parameters.</exception>
    public ElementFormat Of(ArenaKind arena) => arena switch
    {
        ArenaKind.Master => Master,
        ArenaKind.Gradients => Gradient,
        ArenaKind.FirstMoment => FirstMoment,
        ArenaKind.SecondMoment => SecondMoment,
        _ => throw new ArgumentOutOfRangeException(nameof(arena), arena, "The arena holds no parameters."),
    };
}

/// <summary>How FP8 scales follow the data, from the recipe.</summary>
/// <param name="Delayed">True: scale from the maximum of the amax history; false: from the amax of this very tensor.</param>
/// <param name="HistoryLength">Steps that the amax history covers.</param>
/// <param name="PowerOfTwo">Round scales down to powers of two.</param>
/// <param name="Margin">Scales are divided by 2^margin.</param>
public sealed record ScalingInfo(bool Delayed, int HistoryLength, bool PowerOfTwo, int Margin)
{
    /// <summary>Whether weight gradients in FP8 have a delayed scale too, with a history of their own (<see cref="WorkspacePart.GradientHistory"/>).</summary>
    public bool DelayedGradients { get; init; }
}

/// <summary>Dynamic loss scaling of a recipe.</summary>
/// <param name="Initial">The loss scale of step 1, a power of two.</param>
/// <param name="GrowthInterval">Steps in a row that count before it doubles.</param>
public sealed record LossScalingInfo(int Initial, int GrowthInterval);

/// <summary>A model as the generator emitted it; <c>Definition</c> of every <c>[Fp8Model]</c> class.</summary>
public sealed record ModelDefinition(
    string Name, string[] Dims, ModelSizeInfo[] Sizes, ParameterInfo[] Parameters, int VocabularyParameter, Func<ModelProgram>[] Programs, string[] Recipes)
{
    /// <summary>The program of a recipe, by its name without regard to case.</summary>
    /// <exception cref="ArgumentException">The model was not compiled with that recipe; the message lists those it has.</exception>
    public ModelProgram Program(string recipe)
    {
        int index = Array.FindIndex(Recipes, r => string.Equals(r, recipe, StringComparison.OrdinalIgnoreCase));
        return index >= 0
            ? Programs[index]()
            : throw new ArgumentException(
                $"{Name} was not compiled with recipe '{recipe}'. It has: {string.Join(", ", Recipes)}. Add the recipe to [Fp8Model(Recipes = [...])].", nameof(recipe));
    }
}

/// <summary>Implemented by the generated part of every <c>[Fp8Model]</c> class.</summary>
public interface IFp8Model
{
    /// <summary>The compiled model.</summary>
    static abstract ModelDefinition Definition { get; }
}
