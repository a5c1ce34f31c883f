using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes.Precision;

/// <summary>
/// FP8 weight gradients (fact sheet, section 2.5): the product's epilogue adds what the gradient holds so far. With a delayed scale it casts the sum and stores it, and
/// records its amax for the scale of the next step. With a current scale it stores the sum in the compute format and takes its amax, and a row kernel derives the
/// power-of-two scale and casts; that sum is an ordinary value, so the memory plan finds a place for it that other values of the layer use before and after. The
/// first micro-batch assigns (<see cref="Kernels.FirstGradients"/>).
/// </summary>
internal static class GradientStorage
{
    public static void Run(Graph graph, RecipeSpec recipe) => new Rewriter(graph).Run((b, node) =>
    {
        if (node.Op != OpCode.AccumulateGradient || !graph.LinearWeights.Contains(node.Data.Index))
        {
            return null;
        }

        Value product = node.Inputs[0];
        NodeData data = new() { Index = node.Data.Index, Format = recipe.WeightGradient, CurrentScale = !recipe.DelayedGradients };
        Value before = b.Node(OpCode.Mul,
            [b.Node(OpCode.Gradient, [], product.Type, new NodeData { Index = node.Data.Index }), b.Node(OpCode.GradientInverse, [], TensorType.Scalar, new NodeData { Index = node.Data.Index })],
            product.Type);
        b.Label = product.Node.Label;
        Value sum = b.Node(OpCode.Add, [product, before], product.Type);
        return recipe.DelayedGradients
            ? [b.Node(OpCode.StoreGradient, [sum], TensorType.Scalar, data)]
            : [b.Node(OpCode.StoreGradient, [sum, b.Node(OpCode.Amax, [sum], TensorType.Scalar, data)], TensorType.Scalar, data)];
    });
}
