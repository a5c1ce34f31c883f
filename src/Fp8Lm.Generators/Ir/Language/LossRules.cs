namespace Fp8Lm.Generators.Ir.Language;

internal static class LossRules
{
    /// <summary>Softmax cross-entropy of logits [V] against labels, with ignored labels, label weights and z-loss (PaLM, arXiv 2204.02311, section 5).</summary>
    public static Value[]? CrossEntropy(OpContext c)
    {
        Value logits = c[0];
        if (logits.Type.Rows != RowKind.Token || logits.Type.Dims.Count != 1)
        {
            return c.Fail("FP8L0312", logits.Type.Features());
        }

        c.Builder.Graph.Logits = logits;
        return [c.Builder.Node(OpCode.CrossEntropy, [logits, c[1]], [logits.Type.Reduced(), logits.Type], new NodeData { Number2 = c.Number("z_loss", 0) }).Out()];
    }
}
