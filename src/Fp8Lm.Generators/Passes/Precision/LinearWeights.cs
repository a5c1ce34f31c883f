using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;

namespace Fp8Lm.Generators.Passes.Precision;

/// <summary>
/// Finds the weights whose master and gradient have the formats of the recipe, as FP8-LM stores them in few bits: those of the linears in repeated modules (fact sheet, section 1.4), as long as nothing but one linear's
/// products reads them. Embeddings, the output head, biases and gains keep F32 weights and gradients.
/// </summary>
internal static class LinearWeights
{
    public static void Find(Graph graph)
    {
        Dictionary<Node, List<Node>> users = graph.Users();
        foreach (IGrouping<int, Node> weight in graph.Nodes.Where(n => n.Op == OpCode.Parameter).GroupBy(n => n.Data.Index))
        {
            int loop = graph.Spec.Parameters[weight.Key].Loop;
            List<Node> readers = [.. weight.SelectMany(p => users.TryGetValue(p, out List<Node>? list) ? list : [])];
            List<Node> gradients = [.. graph.Nodes.Where(n => n.Class == OpClass.Sink && n.Op != OpCode.LossRow && n.Data.Index == weight.Key)];
            bool products = readers.Count > 0 && readers.All(r => r.Op == OpCode.Gemm && r.Block.Phase != Phase.Head && r.Block.Loop?.Id == loop);
            if (loop >= 0 && products && gradients is [{ Op: OpCode.AccumulateGradient } gradient] && gradient.Inputs[0].Op == OpCode.Gemm && gradient.Block.Loop?.Id == loop)
            {
                graph.LinearWeights.Add(weight.Key);
            }
        }
    }
}
