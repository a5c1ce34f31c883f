using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes;

/// <summary>Binds every declared size and checks what only numbers can tell: whole extents, alignment of FP8 and 16-bit GEMMs, head sizes, ranges of slices.</summary>
internal static class SizeCheck
{
    public static void Run(Graph graph, RecipeSpec recipe, List<CompileError> errors)
    {
        foreach (SizeSpec size in graph.Spec.Sizes)
        {
            Dictionary<string, long> values = [];
            for (int i = 0; i < graph.Spec.Dims.Count; i++)
            {
                values[graph.Spec.Dims[i]] = size.Values[i];
            }

            new Binding(graph, recipe, size, values, errors).Check();
        }
    }

    private sealed class Binding(Graph graph, RecipeSpec recipe, SizeSpec size, Dictionary<string, long> values, List<CompileError> errors)
    {
        public void Check()
        {
            foreach (ParameterSpec parameter in graph.Spec.Parameters)
            {
                foreach (DimExpr extent in parameter.Shape)
                {
                    Whole(extent, parameter.Site);
                }
            }

            foreach (Loop loop in graph.Blocks.Select(b => b.Loop).Where(l => l is not null).Distinct()!)
            {
                Whole(loop.Count, size.Site);
            }

            foreach (Node node in graph.Nodes)
            {
                bool whole = node.Types.SelectMany(t => t.Dims).All(d => Whole(d, node.Site));
                if (!whole)
                {
                    continue;
                }

                switch (node.Op)
                {
                    case OpCode.Gemm:
                        Gemm(node);
                        break;
                    case OpCode.Attention:
                        Attention(node);
                        break;
                    case OpCode.Rotary:
                        Rotary(node);
                        break;
                    case OpCode.Slice:
                        Slice(node);
                        break;
                }
            }
        }

        private long? Value(DimExpr extent) => extent.Evaluate(name => values.TryGetValue(name, out long value) ? value : 1, out _);

        private bool Whole(DimExpr extent, int site)
        {
            if (extent.Evaluate(name => values.TryGetValue(name, out long value) ? value : 1, out string exact) is not null)
            {
                return true;
            }

            Report("FP8L0401", site, size.Name, extent.ToString(), exact);
            return false;
        }

        private void Gemm(Node node)
        {
            // Before autodiff all products are those of linears, whose second operand is the weight.
            bool fp8 = node.Block.Loop is not null && recipe.InFp8(graph.Spec.Parameters[node.Inputs[1].Node.Data.Index]);
            foreach (DimExpr extent in new[] { node.Inputs[0].Type.Columns, node.Types[0].Columns })
            {
                long value = Value(extent) ?? 16;
                if (fp8 && value % 16 != 0)
                {
                    long nearest = (value + 15) / 16 * 16;
                    Report("FP8L0402", node.Site, size.Name, extent.ToString(), Text(value), Text(nearest));
                }
                else if (!fp8 && recipe.Compute != Format.F32 && value % 8 != 0)
                {
                    Report("FP8L0404", node.Site, size.Name, extent.ToString(), Text(value));
                }
            }
        }

        private void Attention(Node node)
        {
            DimExpr head = node.Types[0].Columns;
            long value = Value(head) ?? 16;
            if (value % 16 != 0 || value > 256)
            {
                Report("FP8L0403", node.Site, size.Name, head.ToString(), Text(value));
            }

            long? query = Value(node.Types[0].Dims[0]), keyValue = Value(node.Inputs[1].Type.Dims[0]);
            if (query % keyValue != 0)
            {
                Report("FP8L0307", node.Site, size.Name, Text(query ?? 0), Text(keyValue ?? 0));
            }
        }

        private void Rotary(Node node)
        {
            long dims = Value(node.Data.Extent!) ?? 1, head = Value(node.Types[0].Columns) ?? 1;
            if (dims % 2 != 0 || dims > head)
            {
                Report("FP8L0314", node.Site, size.Name, Text(dims), Text(head));
            }
        }

        private void Slice(Node node)
        {
            long extent = Value(node.Inputs[0].Type.Columns) ?? 0, length = Value(node.Types[0].Columns) ?? 0;
            long start = node.Data.Extent!.Equals(DimExpr.Zero) ? 0 : Value(node.Data.Extent!) ?? -1;
            if (start < 0 || start + length > extent)
            {
                Report("FP8L0309", node.Site, size.Name, node.Data.Extent!.ToString(), node.Types[0].Columns.ToString(), Text(extent));
            }
        }

        private void Report(string code, int site, params string[] arguments)
        {
            CompileError error = new(code, site < 0 ? size.Site : site, arguments);
            if (!errors.Contains(error))
            {
                errors.Add(error);
            }
        }

        private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
    }
}
