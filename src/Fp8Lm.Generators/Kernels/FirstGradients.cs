using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;

namespace Fp8Lm.Generators.Kernels;

/// <summary>
/// Weight gradients that need no clearing: the first kernel of a micro-batch that touches one is a product over all of it, once per instance, and in the
/// first micro-batch of a step that product assigns. Clearing and reading back cost eight bytes of traffic an element.
/// </summary>
internal static class FirstGradients
{
    /// <summary>The product that comes first, by parameter.</summary>
    public static Dictionary<int, FusedGroup> Of(Graph graph, FusionPlan fusion)
    {
        Dictionary<int, FusedGroup> first = [];
        foreach (FusedGroup group in graph.Blocks.SelectMany(fusion.Of))
        {
            foreach (Node node in group.Members.Append(group.Anchor).OfType<Node>().Where(Touches))
            {
                if (!first.ContainsKey(node.Data.Index))
                {
                    first.Add(node.Data.Index, group);
                }
            }
        }

        return first.Where(f => Assigns(graph, f.Key, f.Value)).ToDictionary(f => f.Key, f => f.Value);
    }

    /// <summary>The kernel that takes the amax of an FP8 gradient, or casts it with a delayed scale, has added what the gradient held.</summary>
    private static bool Touches(Node node) =>
        node.Op is OpCode.AccumulateGradient or OpCode.AccumulateColumnSum or OpCode.EmbedGradient or OpCode.PositionGradient
        || (node.Op == OpCode.StoreGradient && !node.Data.CurrentScale)
        || (node.Op == OpCode.Amax && node.Data.Scale < 0);

    /// <summary>A weight that all layers share gets a product from each of them.</summary>
    private static bool Assigns(Graph graph, int parameter, FusedGroup group) =>
        group.Anchor?.Op == OpCode.Gemm && group.Block.Phase != Phase.Setup && (group.Block.Loop?.Id ?? -1) == graph.Spec.Parameters[parameter].Loop;
}
