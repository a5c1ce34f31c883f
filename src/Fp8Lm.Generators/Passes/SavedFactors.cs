using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes;

/// <summary>
/// The gradient of an activation is the incoming gradient times a number that the forward pass knows: dx = dy * f'(x). Where backward would read x back for
/// nothing else, the product that makes x saves f'(x) in its place: the same bytes or half of them, and the epilogue of the gradient's product has one multiplication left
/// instead of a sigmoid and a polynomial. Rounded to the compute format is the slope then, not x, which costs no more accuracy.
/// </summary>
internal sealed class SavedFactors
{
    /// <summary>What takes more than an instruction or two; a slope without any (squared ReLU) is as cheap to compute as to read.</summary>
    private static readonly HashSet<OpCode> slow =
        [OpCode.Exp, OpCode.Log, OpCode.Sqrt, OpCode.Rsqrt, OpCode.Tanh, OpCode.Sigmoid, OpCode.Erf, OpCode.Sin, OpCode.Cos, OpCode.Pow, OpCode.Div];

    private readonly Dictionary<Value, Term> terms = [];
    private readonly Dictionary<Node, List<Node>> users;
    private readonly HashSet<Value> carried;

    private SavedFactors(Graph graph)
    {
        users = graph.Users();
        carried = [.. graph.Blocks.SelectMany(b => b.Carries).SelectMany(c => new[] { c.Initial, c.Result })];
    }

    public static void Run(Graph graph, RecipeSpec recipe)
    {
        SavedFactors pass = new(graph);
        Dictionary<Value, Term> chosen = [];
        foreach (Block block in graph.Blocks.Where(b => b.Phase == Phase.Backward))
        {
            foreach (Node node in block.Nodes)
            {
                pass.Classify(node);
            }

            pass.Choose(block, chosen);
        }

        Dictionary<Value, Value> saved = chosen.ToDictionary(c => c.Key, c => Save(graph, c.Key, c.Value, recipe));
        if (saved.Count > 0)
        {
            new Rewriter(graph).Run((b, node) => node.Types.Count == 1 && saved.TryGetValue(node.Out(), out Value slope) ? [b.Binary(OpCode.Mul, chosen[node.Out()].Gradient, slope)] : null);
        }
    }

    // ---- What is linear in what -------------------------------------------------------------------------------------------------------

    /// <summary>Gives every value of backward its term: known in forward, linear in one gradient, or a gradient of its own.</summary>
    private void Classify(Node node)
    {
        if (node.Types.Count != 1 || node.Class is not (OpClass.Elementwise or OpClass.Leaf))
        {
            return;
        }

        Value value = node.Out();
        if (node.Op is OpCode.Constant or OpCode.Parameter)
        {
            terms[value] = new Term(default, new Factor(node, value, []));
            return;
        }

        Term[] inputs = [.. node.Inputs.Select(TermOf)];
        Term? term = node.Op switch
        {
            _ when !IsFunction(node) => null,
            _ when inputs.All(i => i.Known) => new Term(default, Apply(node, inputs)),
            OpCode.Neg => new Term(inputs[0].Gradient, Apply(node, inputs)),
            OpCode.Mul when inputs[0].Known != inputs[1].Known => new Term(inputs.Single(i => !i.Known).Gradient, Apply(node, inputs)),
            OpCode.Div when inputs[1].Known => new Term(inputs[0].Gradient, Apply(node, inputs)),
            OpCode.Add or OpCode.Sub when !inputs[0].Known && !inputs[1].Known && inputs[0].Gradient == inputs[1].Gradient => new Term(inputs[0].Gradient, Apply(node, inputs)),
            _ => null,
        };
        if (term is not null)
        {
            terms[value] = term;
        }
    }

    private Term TermOf(Value value) =>
        terms.TryGetValue(value, out Term? term) ? term
        : value.Node.Block.Phase == Phase.Forward ? new Term(default, new Factor(value.Node, value, []))
        : new Term(value, Factor.One);

    private static Factor Apply(Node node, Term[] inputs) => new(node, default, [.. inputs.Select(i => i.Factor)]);

    private static bool IsFunction(Node node) => SlopeRange.IsFunction(node);

    // ---- What is worth it -------------------------------------------------------------------------------------------------------------

    private void Choose(Block block, Dictionary<Value, Term> chosen)
    {
        foreach (Value value in block.Nodes.Where(n => n.Types.Count == 1).Select(n => n.Out()))
        {
            if (terms.TryGetValue(value, out Term? term) && !term.Known && IsSlow(term.Factor) && !carried.Contains(value) && !Goes(value, term)
                && term.Gradient.Type.Equals(value.Type) && Source(term.Factor, block) is { } product && ReadOnlyFor(product, block, value, term))
            {
                chosen[value] = term;
            }
        }
    }

    private static bool IsSlow(Factor factor) => factor.Nodes().Concat(factor.Values().SelectMany(Behind)).Any(n => slow.Contains(n.Op));

    /// <summary>Whether the value is only a step on the way to a longer factor of the same gradient.</summary>
    private bool Goes(Value value, Term term) =>
        Readers(value.Node) is { Count: > 0 } readers && readers.All(r => terms.TryGetValue(r.Out(), out Term? next) && !next.Known && next.Gradient == term.Gradient);

    /// <summary>The product of the forward pass that a factor is a function of, with weights and constants; null where it needs more than that.</summary>
    private static Node? Source(Factor factor, Block backward)
    {
        HashSet<Node> roots = [.. factor.Values().SelectMany(Roots)];
        return roots.Count == 1 && roots.Single() is { Op: OpCode.Gemm, Block: { Phase: Phase.Forward } forward } product && forward.Loop == backward.Loop ? product : null;
    }

    /// <summary>What a value is computed from element by element; weights and constants do not count.</summary>
    private static IEnumerable<Node> Roots(Value value) => value.Node switch
    {
        { Op: OpCode.Constant or OpCode.Parameter } => [],
        Node node when IsFunction(node) => node.Inputs.SelectMany(Roots),
        Node node => [node],
    };

    /// <summary>
    /// Whether the kernels of the forward pass need the product's result nowhere but in its epilogue, and backward computes from it nothing but the value. What stands
    /// behind a cast is stored anyway.
    /// </summary>
    private bool ReadOnlyFor(Node product, Block backward, Value value, Term term)
    {
        if (Readers(product).Any(r => r.Block == product.Block && r.Class is not (OpClass.Elementwise or OpClass.Cast)))
        {
            return false;
        }

        HashSet<Node> forward = [product];
        Stack<Node> work = new([product]);
        while (work.Count > 0)
        {
            foreach (Node reader in Readers(work.Pop()))
            {
                if (reader.Block == product.Block && reader.Class == OpClass.Elementwise && forward.Add(reader))
                {
                    work.Push(reader);
                }
            }
        }

        // Every way from these into backward has to end in the value.
        HashSet<Node> seen = [];
        bool EndsInValue(Node node) => node == value.Node || !seen.Add(node)
            || (node.Class == OpClass.Elementwise && node.Block == backward && terms.TryGetValue(node.Out(), out Term? other) && (other.Known || other.Gradient == term.Gradient)
                && !carried.Contains(node.Out()) && Readers(node) is { Count: > 0 } readers && readers.All(EndsInValue));
        // What another product reads stands in memory for it; that must not be what the factor is computed from.
        HashSet<Node> behind = [.. term.Factor.Values().SelectMany(Behind)];
        return forward.SelectMany(f => Readers(f).Select(r => (From: f, Reader: r))).All(p => p.Reader.Block == product.Block
            || (p.Reader.Block == backward && (p.Reader.Class == OpClass.Anchor ? !behind.Contains(p.From) : EndsInValue(p.Reader))));
    }

    /// <summary>A value and what it is computed from element by element.</summary>
    private static IEnumerable<Node> Behind(Value value) => IsFunction(value.Node) ? value.Node.Inputs.SelectMany(Behind).Append(value.Node) : [value.Node];

    private List<Node> Readers(Node node) => users.TryGetValue(node, out List<Node>? readers) ? readers : [];

    // ---- Saving -----------------------------------------------------------------------------------------------------------------------

    /// <summary>Computes the factor at the end of the forward block; the cast is what stores it.</summary>
    private static Value Save(Graph graph, Value value, Term term, RecipeSpec recipe)
    {
        GraphBuilder builder = new(graph, Source(term.Factor, value.Node.Block)!.Block) { Site = value.Node.Site, Label = value.Node.Label + "_slope" };
        Value slope = Build(builder, term.Factor, []);
        FixedPoint? fixedPoint = recipe.SavedFactors == Model.SavedFactors.Byte && SlopeRange.Of(slope) is { } range ? FixedPoint.Cover(range) : null;
        NodeData data = new() { Index = graph.NodeCount, Fixed = fixedPoint, Format = fixedPoint is null ? default : Format.U8 };
        return builder.Node(OpCode.Cast, [slope], slope.Type, data);
    }

    private static Value Build(GraphBuilder builder, Factor factor, Dictionary<Factor, Value> built)
    {
        if (!built.TryGetValue(factor, out Value value))
        {
            Value[] inputs = [.. factor.Inputs.Select(i => Build(builder, i, built))];
            value = factor.Inputs.Count switch
            {
                0 when factor == Factor.One => builder.Constant(1),
                // Constants and weights stand in every block that reads them.
                0 when factor.Value.Node.Block != builder.Block => builder.Node(factor.Node!.Op, [], factor.Value.Type, factor.Node.Data),
                0 => factor.Value,
                1 => builder.Unary(factor.Node!.Op, inputs[0], factor.Node.Data),
                2 => builder.Binary(factor.Node!.Op, inputs[0], inputs[1]),
                _ => builder.Node(factor.Node!.Op, inputs, factor.Node.Types[0], factor.Node.Data),
            };
            built.Add(factor, value);
        }

        return value;
    }

    /// <summary>A value as Gradient * Factor; without gradient, as Factor.</summary>
    private sealed record Term(Value Gradient, Factor Factor)
    {
        public bool Known => Gradient.Node is null;
    }

    /// <summary>An expression over values of the forward pass.</summary>
    private sealed class Factor(Node? node, Value value, IReadOnlyList<Factor> inputs)
    {
        public static readonly Factor One = new(null, default, []);

        /// <summary>The operation, or what the value comes from.</summary>
        public Node? Node { get; } = node;

        public Value Value { get; } = value;

        public IReadOnlyList<Factor> Inputs { get; } = inputs;

        /// <summary>Its operations.</summary>
        public IEnumerable<Node> Nodes() => All().Where(f => f.Inputs.Count > 0).Select(f => f.Node!);

        public IEnumerable<Value> Values() => All().Where(f => f.Inputs.Count == 0 && f != One).Select(f => f.Value);

        private HashSet<Factor> All()
        {
            HashSet<Factor> all = [];
            Stack<Factor> work = new([this]);
            while (work.Count > 0)
            {
                Factor factor = work.Pop();
                if (all.Add(factor))
                {
                    foreach (Factor input in factor.Inputs)
                    {
                        work.Push(input);
                    }
                }
            }

            return all;
        }
    }
}
