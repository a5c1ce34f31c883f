using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using Fp8Lm.Training;

namespace Fp8Lm.Parity.Tests.Fuzz;

/// <summary>
/// The text of a model that nobody would write, from a number: up to three stacks with carried, captured and kept values, modules and weights that are shared,
/// any op on any value. Values stay near one (norms and tanh between statements), so that gradients can be compared.
/// </summary>
internal sealed class RandomModel
{
    public const string Namespace = "Fp8Lm.Fuzz.Models";

    private readonly Choices choices;
    private readonly StringBuilder classes = new();
    private readonly List<string> modules = [];

    private RandomModel(int seed, int attempt)
    {
        choices = new Choices(((ulong)attempt << 32) + (ulong)seed);
        Name = "Fuzz" + seed;
    }

    public string Name { get; }

    /// <summary>The C# of model <paramref name="seed"/>; its class is <c>Fuzz{seed}</c>. Another attempt is another model.</summary>
    public static string Text(int seed, int attempt) => new RandomModel(seed, attempt).Write();

    private string Write()
    {
        // Dropout would hide faults of evaluation; a few models have it.
        bool dropout = choices.Below(8) == 0;
        for (int i = choices.Below(3); i > 0; i--)
        {
            modules.Add(Module("Part" + modules.Count, tensors: 1, shared: [], captured: 0, dropout, returns: 1));
        }

        RandomScope model = new(choices, "Width", "Heads", dropout);
        string fields = "", body = "";
        foreach (string module in modules)
        {
            model.Modules.Add("part" + module);
        }

        List<string> forward = ["Tensor x = " + model.Start()];
        model.Values.Add("x");
        if (choices.Below(2) == 0)
        {
            forward.Add("Tensor start = " + model.Value(1));
            model.Values.Add("start");
        }

        int stacks = 1 + choices.Below(3);
        for (int s = 0; s < stacks; s++)
        {
            model.Statements(forward, choices.Below(3));
            Stack(s, model, forward, ref fields, ref body);
        }

        model.Statements(forward, choices.Below(3));
        string logits = "Linear(" + model.Norm(model.Value(2) + model.Unread(forward)) + ", tokens)";
        forward.Add("return " + (choices.Below(4) == 0 ? $"Tanh({logits} / 8) * 8" : logits));
        foreach (string module in modules)
        {
            if (forward.Append(body).Any(s => s.Contains("part" + module, StringComparison.Ordinal)))
            {
                fields += $"    readonly {module} part{module};\n";
                body = $"        part{module} = new(Width, Heads);\n" + body;
            }
        }

        return $$"""
            using static Fp8Lm.Ops;

            namespace {{Namespace}};

            [Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.TransformerEngine{{Another()}}])]
            public partial class {{Name}}
            {
                static readonly Dim Vocab = new(), Width = new(), Heads = new(), Layers = new(), More = new(), Context = new();

                [ModelSize] static readonly Size Small = new() { [Vocab] = {{40 + (8 * choices.Below(3))}}, [Width] = 48, [Heads] = 3, [Layers] = {{1 + choices.Below(3)}}, [More] = 2, [Context] = 64 };

                readonly Weight tokens = new(Vocab, Width);
            {{model.Declarations([.. forward, body])}}{{fields}}
                public {{Name}}()
                {
            {{body}}    }

                Tensor Forward(Tokens ids)
                {
            {{Lines(forward)}}    }
            }

            """ + classes;
    }

    private void Stack(int index, RandomScope model, List<string> forward, ref string fields, ref string body)
    {
        int captured = choices.Below(3), carried = 1 + (choices.Below(3) == 0 ? 1 : 0);
        List<Shared> shared = [];
        if (choices.Below(3) == 0)
        {
            shared.Add(new Shared("Weight", "matrix", model.Matrix()));
        }

        if (choices.Below(3) == 0)
        {
            shared.Add(new Shared("Weight", "vector", model.Vector()));
        }

        if (modules.Count > 0 && choices.Below(2) == 0)
        {
            string chosen = modules[choices.Below(modules.Count)];
            shared.Add(new Shared(chosen, "part", "part" + chosen));
        }

        string layer = Module("Layer" + index, carried, shared, captured, model.Dropout, carried);
        string field = "stack" + index, count = choices.Of("Layers", "More", "3", "1");
        fields += $"    readonly Repeat<{layer}> {field};\n";
        body += $"        {field} = new({count}, () => new {layer}({string.Join(", ", ["Width", "Heads", .. shared.Select(s => s.Argument)])})){Checkpoint()};\n";
        string arguments = string.Concat(Enumerable.Range(0, captured).Select(_ => ", " + model.Captured()));
        string kept = "kept" + index;
        bool keeps = choices.Below(3) == 0;
        if (keeps)
        {
            forward.Add($"Tensor {kept} = {model.Value(1)}");
        }

        string second = model.Values[choices.Below(model.Values.Count)];
        if (carried == 2)
        {
            second = "side" + index;
            forward.Add($"Tensor {second} = {model.Value(1)}");
        }

        List<string> loop = [];
        string argument = choices.Of("x", "x", $"x + 0.25f * {model.Captured()}", model.Norm("x"));
        string call = carried == 2 ? $"(x, {second}) = l.Forward({argument}, {second}{arguments})" : $"x = {choices.Of("", "", "0.5f * x + ")}l.Forward({argument}{arguments})";
        loop.Add(call);
        if (carried == 1 && choices.Below(5) == 0)
        {
            loop.Add(call);
        }

        if (keeps)
        {
            loop.Add(choices.Of($"{kept} = x * 0.5f + 0.5f * {kept}", $"{kept} = Tanh(x)", $"{kept} = {kept} * Sigmoid(x)", $"(x, {kept}) = ({kept} * 0.5f + x, x)"));
            model.Values.Add(kept);
        }

        if (carried == 2)
        {
            model.Values.Add(second);
        }

        forward.Add($"foreach (var l in {field}) {{ {string.Join("; ", loop)}; }}");
    }

    private string Another() => choices.Of("", ", Recipe.Fp16", ", Recipe.Fp8LmO2", ", Recipe.BlockScaled", ", Recipe.Rowwise", ", Recipe.TransformerEngineCurrent", ", Recipe.Fp8LmO3");

    private string Checkpoint() => choices.Below(6) == 0 ? " { Checkpoint = true }" : "";

    /// <summary>A class with a Forward of so many tensors and captured values; the name under which it was written.</summary>
    private string Module(string name, int tensors, List<Shared> shared, int captured, bool dropout, int returns)
    {
        name = Name + name;
        RandomScope scope = new(choices, "width", "heads", dropout);
        List<string> parameters = [.. Enumerable.Range(0, tensors).Select(i => "x" + i), .. Enumerable.Range(0, captured).Select(i => "c" + i)];
        scope.Values.AddRange(parameters.Take(tensors));
        scope.Outer.AddRange(parameters.Skip(tensors));
        foreach (Shared item in shared)
        {
            (item.Parameter switch { "matrix" => scope.Matrices, "vector" => scope.Vectors, _ => scope.Modules }).Add(item.Parameter);
        }

        List<string> forward = [];
        scope.Statements(forward, 1 + choices.Below(4));
        string[] results = [.. Enumerable.Range(0, returns).Select(i => choices.Of($"x{i} + 0.5f * {scope.Value(2)}", $"x{i} * 0.7f + {scope.Value(2)} * 0.3f", scope.Norm(scope.Value(2) + " + x" + i)))];
        results[0] += scope.Unread([.. forward, .. results]);
        forward.Add("return " + (returns == 1 ? results[0] : $"({string.Join(", ", results)})"));
        string type = returns == 1 ? "Tensor" : "(Tensor, Tensor)";
        classes.Append($$"""

            [Fp8Module]
            public partial class {{name}}({{string.Join(", ", ["Dim width", "Dim heads", .. shared.Select(s => s.Type + " " + s.Parameter)])}})
            {
            {{scope.Declarations(forward)}}
                public {{type}} Forward({{string.Join(", ", parameters.Select(p => "Tensor " + p))}})
                {
            {{Lines(forward)}}    }
            }

            """);
        return name;
    }

    /// <summary>What a stack's layers get from the model.</summary>
    private sealed record Shared(string Type, string Parameter, string Argument);

    private static string Lines(IEnumerable<string> statements) => string.Concat(statements.Select(s => "        " + s + (s.EndsWith('}') ? "\n" : ";\n")));
}

/// <summary>A stream of numbers that is the same everywhere.</summary>
internal sealed class Choices(ulong seed)
{
    private ulong at;

    public int Below(int count) => (int)(CounterRandom.Mix(seed + 1, at++) % (ulong)count);

    public string Of(params ReadOnlySpan<string> options) => options[Below(options.Length)];
}
