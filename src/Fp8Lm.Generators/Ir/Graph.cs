using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Ir;

/// <summary>When a block runs.</summary>
internal enum Phase
{
    /// <summary>Once per optimizer step: casts of weights, tables.</summary>
    Setup,
    Forward,
    /// <summary>Output head and loss, chunk by chunk; forward and backward in one.</summary>
    Head,
    Backward,
}

/// <summary>A straight run of nodes, or the body of a loop over layers.</summary>
internal sealed class Block(int id, Phase phase, Loop? loop, string name)
{
    public int Id { get; } = id;

    public Phase Phase { get; } = phase;

    /// <summary>The loop whose body this is; forward and backward bodies of one repeated module share it.</summary>
    public Loop? Loop { get; } = loop;

    public string Name { get; } = name;

    /// <summary>In order of execution; every node stands after its inputs.</summary>
    public List<Node> Nodes { get; } = [];

    /// <summary>Values handed from one layer to the next.</summary>
    public List<Carry> Carries { get; } = [];

    /// <summary>Layers run from the last to the first.</summary>
    public bool Descending => Phase == Phase.Backward && Loop is not null;

    public InstanceIndex IncomingIndex => Descending ? InstanceIndex.NextLayer : InstanceIndex.Layer;

    public InstanceIndex OutgoingIndex => Descending ? InstanceIndex.Layer : InstanceIndex.NextLayer;

    public InstanceIndex InitialIndex => Descending ? InstanceIndex.Count : InstanceIndex.First;

    public InstanceIndex FinalIndex => Descending ? InstanceIndex.First : InstanceIndex.Count;
}

/// <summary>A loop-carried value of one block.</summary>
internal sealed class Carry(Node parameter, Value initial)
{
    /// <summary>The CarryIn node inside the body.</summary>
    public Node Parameter { get; } = parameter;

    /// <summary>Value before the first layer that runs; defined in an earlier block.</summary>
    public Value Initial { get; set; } = initial;

    /// <summary>Value at the end of the body.</summary>
    public Value Result { get; set; }

    /// <summary>The CarryOut node in a later block; null when nobody reads the final value.</summary>
    public Node? Out { get; set; }
}

/// <summary>A repeated module.</summary>
internal sealed record Loop(int Id, string Name, DimExpr Count, bool Checkpoint);

/// <summary>A family of FP8 scales.</summary>
internal sealed record ScaleFamily(string Name, Format Format, Loop? Loop, bool Carried);

/// <summary>A model in SSA form: blocks in the order they run.</summary>
internal sealed class Graph(ModelSpec spec)
{
    private readonly Dictionary<string, Node> known = new(StringComparer.Ordinal);
    private int nextNode;

    public ModelSpec Spec { get; } = spec;

    public List<Block> Blocks { get; } = [];

    public List<ScaleFamily> Scales { get; } = [];

    /// <summary>Weights whose gradient, master and copies have the formats of the recipe's roles; those of all other parameters are F32.</summary>
    public HashSet<int> LinearWeights { get; } = [];

    /// <summary>Scale family of the FP8 copies of a weight whose scale the optimizer keeps.</summary>
    public Dictionary<int, int> WeightScales { get; } = [];

    /// <summary>Logits before the loss, the value that text generation reads; lives in the head block.</summary>
    public Value Logits { get; set; }

    /// <summary>Number of places that draw random numbers.</summary>
    public int RandomSites { get; set; }

    public int NodeCount => nextNode;

    public Block AddBlock(Phase phase, Loop? loop, string name, int at = -1)
    {
        Block block = new(Blocks.Count == 0 ? 0 : Blocks.Max(b => b.Id) + 1, phase, loop, name);
        Blocks.Insert(at < 0 ? Blocks.Count : at, block);
        return block;
    }

    /// <summary>Adds a node, or returns the equal one that the block already has (common subexpressions never come to be).</summary>
    public Node Add(Block block, OpCode op, Value[] inputs, TensorType[] types, NodeData? data = null, int site = -1, string label = "")
    {
        data ??= NodeData.None;
        string key = $"{block.Id}|{op}|{string.Join(",", inputs.Select(i => i.Node.Id + "." + i.Index))}|{string.Join(",", types.Select(t => t.ToString()))}|{data}|{data.Format}";
        bool shareable = OpTable.Class(op) != OpClass.Sink && op != OpCode.CarryIn && op != OpCode.CarryOut && op != OpCode.Amax;
        if (shareable && known.TryGetValue(key, out Node? existing))
        {
            return existing;
        }

        Node node = new(nextNode++, op, inputs, types, data, block, site) { Label = label };
        block.Nodes.Add(node);
        if (shareable)
        {
            known[key] = node;
        }

        return node;
    }

    /// <summary>Forgets which nodes exist, so that a pass that rebuilds blocks does not meet nodes it has not placed yet.</summary>
    public void ForgetShared() => known.Clear();

    public IEnumerable<Node> Nodes => Blocks.SelectMany(b => b.Nodes);

    /// <summary>Users of every value, by node.</summary>
    public Dictionary<Node, List<Node>> Users()
    {
        Dictionary<Node, List<Node>> users = [];
        foreach (Node node in Nodes)
        {
            foreach (Node input in node.Inputs.Select(i => i.Node).Distinct())
            {
                if (!users.TryGetValue(input, out List<Node>? list))
                {
                    users[input] = list = [];
                }

                list.Add(node);
            }
        }

        return users;
    }
}
