using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Kernels;

/// <summary>One cast whose numerics can be counted: a slot per layer, and one more where it is carried.</summary>
internal sealed record CastFamily(string Name, string Role, Format Format, Loop? Loop, bool Carried);

/// <summary>What the optimizer stores of one parameter in one arena in fewer than 32 bits: a slot per layer.</summary>
internal sealed record StateFamily(int Parameter, string Arena, string Role, Format Format, DimExpr Layers);

/// <summary>
/// The casts of a program, one entry for what a person would call one tensor: the families of scales under their numbers, then casts with scales per row or block,
/// then gradients of weights that are stored in FP8. Behind them stands what the optimizer stores, which no node casts.
/// </summary>
internal sealed class CastTable
{
    private const string WeightGradient = "weight_gradient";

    /// <summary>What the optimizer keeps of parameters: the arena, what it is called in reports, and its format by recipe; only masters of linear weights have that of the recipe.</summary>
    private static readonly (string Arena, string Role, Func<RecipeSpec, Format> Format, bool LinearOnly)[] kept =
    [
        ("Master", "master", r => r.Master, true),
        ("FirstMoment", "first_moment", r => r.FirstMoment, false),
        ("SecondMoment", "second_moment", r => r.SecondMoment, false),
    ];

    private readonly List<CastFamily> families = [];
    private readonly Dictionary<Node, int> grouped = [];
    private readonly Dictionary<int, int> gradients = [];

    private CastTable()
    {
    }

    public IReadOnlyList<CastFamily> Families => families;

    /// <summary>What the optimizer stores, arena by arena in the order of parameters.</summary>
    public IReadOnlyList<StateFamily> States { get; private set; } = [];

    public static CastTable Of(Graph graph, RecipeSpec recipe)
    {
        CastTable table = new();
        foreach (ScaleFamily family in graph.Scales)
        {
            // name/role, and ~2 behind the second of a name
            string[] parts = family.Name.Split('/'), role = parts[parts.Length - 1].Split('~');
            table.Add(parts[0] + (role.Length > 1 ? "~" + role[1] : ""), role[0], family.Format, family.Loop, family.Carried);
        }

        foreach (Node node in graph.Nodes.Where(n => n.Op == OpCode.Quantize && n.IsGroupedCast))
        {
            bool weight = node.Inputs[0].Type.Rows == RowKind.Parameter;
            string label = weight ? Weight(graph, node.Inputs[0]) : node.Label.Length == 0 ? "value" : node.Label;
            string role = weight ? "weight" : node.Block.Phase == Phase.Backward ? "gradient" : "input";
            table.grouped[node] = weight && table.families.FindIndex(f => f.Name == label && f.Role == role) is var known and >= 0
                ? known    // the same weight, cast again where another product reads it
                : table.Add((node.Block.Loop is null || weight ? "" : node.Block.Loop.Name + ".*.") + label, role, node.Data.Format, node.Block.Loop, false);
        }

        foreach (Node node in graph.Nodes.Where(n => n.Op == OpCode.StoreGradient))
        {
            table.gradients[node.Data.Index] = table.Add(graph.Spec.Parameters[node.Data.Index].Path, WeightGradient, node.Data.Format, node.Block.Loop, false);
        }

        table.States =
        [
            .. from state in kept
               let format = state.Format(recipe)
               where format != Format.F32
               from parameter in Enumerable.Range(0, graph.Spec.Parameters.Count)
               where !state.LinearOnly || graph.LinearWeights.Contains(parameter)
               select new StateFamily(parameter, state.Arena, state.Role, format, Layers(graph.Spec, graph.Spec.Parameters[parameter].Loop)),
        ];
        return table;
    }

    private static DimExpr Layers(ModelSpec spec, int loop) => spec.Forward.OfType<LoopSpec>().FirstOrDefault(l => l.Id == loop)?.Count ?? DimExpr.One;

    /// <summary>The cast that a node makes, and its slot.</summary>
    public (int Cast, InstanceIndex Index) Slot(Node node)
    {
        InstanceIndex layer = node.Block.Loop is null ? InstanceIndex.First : InstanceIndex.Layer;
        return node.Op == OpCode.StoreGradient ? (gradients[node.Data.Index], layer)
            : node.IsGroupedCast ? (grouped[node], layer)
            : (node.Data.Scale, node.Data.ScaleIndex);
    }

    private static string Weight(Graph graph, Value value) =>
        value.Op == OpCode.Parameter ? graph.Spec.Parameters[value.Node.Data.Index].Path : value.Node.Inputs.Select(i => Weight(graph, i)).FirstOrDefault(n => n.Length > 0) ?? "";

    private int Add(string name, string role, Format format, Loop? loop, bool carried)
    {
        string unique = name;
        for (int copy = 2; families.Any(f => f.Name == unique && f.Role == role); copy++)
        {
            unique = name + "~" + copy.ToString(CultureInfo.InvariantCulture);
        }

        families.Add(new CastFamily(unique, role, format, loop, carried));
        return families.Count - 1;
    }
}
