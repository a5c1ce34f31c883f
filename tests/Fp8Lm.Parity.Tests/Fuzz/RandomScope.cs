using System.Collections.Generic;
using System.Linq;
using System.Text.RegularExpressions;

namespace Fp8Lm.Parity.Tests.Fuzz;

/// <summary>What a method of a random model can name, and random expressions of it. Values are [width] a token where nothing else is said.</summary>
internal sealed class RandomScope(Choices choices, string width, string heads, bool dropout)
{
    private readonly List<(string Name, string Text)> declared = [];
    private int names;

    /// <summary>Variables of [width] a token.</summary>
    public List<string> Values { get; } = [];

    /// <summary>What comes from outside: [width] a token, or a weight's value of [width] or [1].</summary>
    public List<string> Outer { get; } = [];

    /// <summary>Weights of [width, width].</summary>
    public List<string> Matrices { get; } = [];

    /// <summary>Weights of [width].</summary>
    public List<string> Vectors { get; } = [];

    /// <summary>Modules whose Forward takes and gives [width].</summary>
    public List<string> Modules { get; } = [];

    public bool Dropout => dropout;

    /// <summary>The weights that statements read; others are not drawn into the model.</summary>
    public string Declarations(IReadOnlyCollection<string> statements) =>
        string.Concat(declared.Where(d => statements.Any(s => Reads(s, d.Name))).Select(d => "    " + d.Text + "\n"));

    /// <summary>Terms for the variables, captured values and shared weights that no statement after theirs reads, because dead weights are an error.</summary>
    public string Unread(IReadOnlyList<string> statements) => string.Concat(
        from name in Values.Concat(Outer).Concat(Vectors.Where(v => declared.All(d => d.Name != v))).Distinct()
        let at = Enumerable.Range(0, statements.Count).LastOrDefault(i => Assigns(statements[i], name), -1)
        where !statements.Skip(at + 1).Any(s => Reads(s, name))
        select $" + 0.2f * Tanh({name})");

    /// <summary>The first value of a model.</summary>
    public string Start() => choices.Below(3) == 0
        ? $"Embed(tokens, ids) + PositionEmbed({Weight("p", "Context, Width")}, ids)"
        : choices.Of("Embed(tokens, ids)", "Embed(tokens, ids) * 0.5f", $"Embed(tokens, ids) * (1 + {Vector()})");

    public void Statements(List<string> statements, int count)
    {
        for (; count > 0; count--)
        {
            string name = "v" + names++;
            if (choices.Below(5) == 0)
            {
                statements.Add($"var ({name}, {name}b) = Split2({Wide(1)})");
                Values.Add(name + "b");
            }
            else if (choices.Below(6) == 0)
            {
                // An existing variable with a new value.
                string old = Any();
                statements.Add($"{old} = {Bounded($"0.5f * {old} + {Value(2)}")}");
                continue;
            }
            else
            {
                statements.Add($"Tensor {name} = {Bounded(Value(3))}");
            }

            Values.Add(name);
        }
    }

    /// <summary>An expression of [width] a token.</summary>
    public string Value(int depth)
    {
        if (depth == 0)
        {
            return Any();
        }

        int d = depth - 1;
        return choices.Below(24) switch
        {
            0 or 1 or 2 or 3 => $"Linear({Value(d)}, {Matrix()}{(choices.Below(3) == 0 ? ", " + Vector() : "")})",
            4 => $"Linear({Wide(d)}, {Weight("n", $"{width}, 2 * {width}")})",
            5 or 6 => Unary(Value(d)),
            7 => $"{Value(d)} * Sigmoid({Value(d)})",
            8 => $"({Value(d)} - {Value(d)} * {choices.Of("0.5f", "0.25f", "2 / 3.0")})",
            9 => $"{Value(d)} / (1.5f + Square({Value(d)}))",
            10 => choices.Of("Min", "Max") + $"({Value(d)}, {choices.Of(Value(d), "0.3f", "-0.1f")})",
            11 => Continuous(Value(d), Value(d)),
            12 => $"{Value(d)} * {Row(d)}",
            13 => $"({Value(d)} + {Row(d)})",
            14 => choices.Of($"{Value(d)} * (1 + {Vector()})", $"({Value(d)} + {Vector()})", $"{Value(d)} * Exp({Vector()})", $"{Value(d)} * Tanh({Scalar()})", $"{Value(d)} * {Vector()} * {Vector()}"),
            15 or 16 or 17 => $"MergeHeads({Heads(d)})",
            18 => $"Concat(Slice({Value(d)}, {width} / 2, {width} / 2), Slice({Value(d)}, 0, {width} / 2))",
            19 => choices.Of($"Slice({Wide(d)}, {width}, {width})", $"Slice({Wide(d)}, {width} / 2, {width})"),
            20 when Modules.Count > 0 => $"{Modules[choices.Below(Modules.Count)]}.Forward({Value(d)})",
            21 => $"{Value(d)} * {OuterOr(d)}",
            22 when dropout => $"Dropout({Value(d)}, 0.1)",
            23 => $"Softmax({Value(d)}) * {Value(d)}",
            _ => Norm(Value(d)),
        };
    }

    public string Norm(string value) => choices.Below(4) switch
    {
        0 => $"LayerNorm({value})",
        1 => $"LayerNorm({value}, {Vector(ones: true)}, {Vector()})",
        2 => $"RmsNorm({value}, {Vector(ones: true)})",
        _ => $"RmsNorm({value})",
    };

    /// <summary>An argument for what a layer captures: a value, or one of weights alone.</summary>
    public string Captured() => choices.Below(4) switch
    {
        0 => choices.Of(Vector(), $"Tanh({Vector()})", $"Sigmoid({Scalar()})", $"({Vector()} * {Scalar()} + 1)"),
        1 => Value(1),
        _ => Any(),
    };

    /// <summary>An old weight of [width, width], or a new one.</summary>
    public string Matrix() => Old(Matrices) ?? Kept(Matrices, Weight("m", $"{width}, {width}"));

    /// <summary>The same of [width].</summary>
    public string Vector(bool ones = false) => (ones ? null : Old(Vectors)) ?? Kept(Vectors, Weight("g", width, ones));

    /// <summary>A choice that does not jump where the condition changes, because difference quotients would.</summary>
    private string Continuous(string a, string b) => choices.Below(4) switch
    {
        0 => $"Select({a} < {b}, {b}, {a})",
        1 => $"Select({a} >= {b}, {a} * 0.5f, {a} - 0.5f * ({b}))",
        2 => $"Select({a} > 0.1f, 0.1f, {a})",
        _ => $"Select({a} <= 0, {a} * 0.2f, {a})",
    };

    private string Bounded(string value) => choices.Below(4) switch
    {
        0 => $"Tanh({value})",
        1 => value,
        _ => Norm(value),
    };

    private string Any()
    {
        // What is newer is read more often, so that little is dead.
        int last = Values.Count - 1;
        return Values[choices.Below(2) == 0 ? last : choices.Below(last + 1)];
    }

    private string OuterOr(int depth) => Outer.Count > 0 ? Outer[choices.Below(Outer.Count)] : $"Tanh({Value(depth)})";

    private string Unary(string x) => choices.Below(14) switch
    {
        0 => $"Gelu({x})",
        1 => $"GeluErf({x})",
        2 => $"Silu({x})",
        3 => $"Relu({x})",
        4 => $"Tanh(SquaredRelu({x}))",
        5 => $"Sigmoid({x})",
        6 => $"Exp(-Abs({x}))",
        7 => $"Log(Square({x}) + 1.2f)",
        8 => $"Sqrt(Square({x}) + 0.5f)",
        9 => $"{x} * Rsqrt(Square({x}) + 0.5f)",
        10 => $"Pow(Sigmoid({x}), {choices.Of("1.5", "2", "3", "0.5", "-1")})",
        11 => $"-({x})",
        12 => $"(1 - Abs({x}))",
        _ => $"Tanh({x})",
    };

    /// <summary>One number a token.</summary>
    private string Row(int depth) => choices.Below(7) switch
    {
        0 => $"Mean({Value(depth)})",
        1 => $"Tanh(Sum({Value(depth)}) * 0.1f)",
        2 => $"Sigmoid(ReduceMax({Value(depth)}))",
        3 => $"Rsqrt(Mean(Square({Value(depth)})) + 0.1f)",
        4 => $"Sigmoid({Scalar()} * 3)",
        5 => $"Mean(Linear({Value(depth)}, {Weight("r", "16, " + width)}))",
        _ => $"Mean({Vector()})",
    };

    private string Scalar() => Weight("s", "1", ones: choices.Below(2) == 0);

    /// <summary>[heads, width / heads] a token.</summary>
    private string Heads(int depth)
    {
        if (depth == 0)
        {
            return $"SplitHeads({Value(0)}, {heads})";
        }

        int d = depth - 1;
        return choices.Below(10) switch
        {
            0 or 1 or 2 => $"Attention({Query(d)}, {Query(d)}, {Heads(d)}{choices.Of("", "", ", window: 5", ", scale: 0.2")})",
            3 => $"Attention({Query(d)}, {One(d)}, {One(d)})",
            4 => $"Rotary({Heads(d)}{choices.Of("", ", interleaved: true", ", dims: 8")})",
            5 => $"RmsNorm({Heads(d)})",
            6 => $"{Heads(d)} * Sigmoid({choices.Of("Mean", "ReduceMax", "Sum")}({Heads(d)}))",
            7 => Unary(Heads(d)),
            8 => $"{Heads(d)} * {Weight("h", $"{heads}, {width} / {heads}", ones: true)}",
            _ => $"SplitHeads({Value(d)}, {heads})",
        };
    }

    private string Query(int depth) => choices.Of($"RmsNorm({Heads(depth)})", $"Rotary(SplitHeads({Norm(Value(depth))}, {heads}))", $"SplitHeads(Linear({Value(depth)}, {Matrix()}), {heads})");

    /// <summary>One head of keys or values for all.</summary>
    private string One(int depth) => $"SplitHeads(Linear({Value(depth)}, {Weight("k", $"{width} / {heads}, {width}")}), 1)";

    /// <summary>[2 width] a token.</summary>
    private string Wide(int depth) => choices.Below(4) switch
    {
        0 => $"Concat({Value(depth)}, {Value(depth)})",
        1 when depth > 0 => Unary(Wide(depth - 1)),
        _ => $"Linear({Value(depth)}, {Weight("w", $"2 * {width}, {width}")})",
    };

    private string? Old(List<string> weights) => weights.Count > 0 && choices.Below(3) == 0 ? weights[choices.Below(weights.Count)] : null;

    private static string Kept(List<string> weights, string name)
    {
        weights.Add(name);
        return name;
    }

    private string Weight(string kind, string shape, bool ones = false)
    {
        string name = kind + declared.Count;
        declared.Add((name, $"readonly Weight {name} = new({shape}){(ones ? " { Init = Init.Ones }" : "")};"));
        return name;
    }

    private static bool Reads(string statement, string name) => Regex.IsMatch(statement, $@"\b{name}\b");

    private static bool Assigns(string statement, string name) => Regex.IsMatch(statement, $@"\b{name}( =|,[^=]*\) =|\) =)");
}
