namespace Fp8Lm.Generators.Ir;

/// <summary>Operations of the graph. What each one is and how it behaves stands in <see cref="OpTable"/>.</summary>
internal enum OpCode
{
    // Leaves.
    Parameter,
    Tokens,
    Labels,
    Constant,
    CarryIn,
    CarryOut,
    /// <summary>What the gradient of a weight holds so far.</summary>
    Gradient,
    LabelWeight,
    LossScale,
    /// <summary>The loss scale that follows the run (recipes with loss scaling).</summary>
    DynamicLossScale,
    /// <summary>The reciprocal scale of a master weight.</summary>
    MasterInverse,
    /// <summary>The reciprocal scale of a weight's gradient.</summary>
    GradientInverse,
    Position,
    Column,
    Uniform,
    Gather,
    PositionRow,

    // Element-wise.
    Neg,
    Abs,
    Exp,
    Log,
    Sqrt,
    Rsqrt,
    Tanh,
    Sigmoid,
    Erf,
    Sin,
    Cos,
    Floor,
    Pow,
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Less,
    LessEqual,
    Equal,
    Select,
    IsLabel,
    PairSwap,
    /// <summary>A table of one head's features, repeated for every head.</summary>
    Tile,

    // Reductions over the last axis.
    RowSum,
    RowMax,

    // Composites: one node until they are expanded into the above.
    LayerNorm,
    RmsNorm,
    Softmax,
    CrossEntropy,
    Rotary,

    // Views.
    Reshape,
    Slice,
    Concat,

    // Anchors: kernels of the device library.
    Gemm,
    Attention,
    AttentionGradKeyValue,
    AttentionGradQuery,

    // Casts and other side outputs of a kernel.
    Quantize,
    Cast,
    Amax,
    /// <summary>Largest magnitudes of every 128 columns of a row and of every 128 rows of a column, perhaps times a number.</summary>
    GroupAmax,
    ColumnSum,

    // Sinks.
    AccumulateGradient,
    /// <summary>Replaces a weight's gradient by a cast with a scale from its own amax.</summary>
    StoreGradient,
    AccumulateColumnSum,
    EmbedGradient,
    PositionGradient,
    LossRow,
}

/// <summary>What the passes need to know about an operation.</summary>
internal enum OpClass
{
    /// <summary>No inputs that are computed; read in place.</summary>
    Leaf,
    /// <summary>One output element from the same element of the inputs.</summary>
    Elementwise,
    /// <summary>One number per row.</summary>
    RowReduction,
    /// <summary>Expanded before fusion.</summary>
    Composite,
    /// <summary>Another way to look at memory.</summary>
    View,
    /// <summary>A library kernel with a generated epilogue.</summary>
    Anchor,
    /// <summary>A store with a change of format.</summary>
    Cast,
    /// <summary>Changes state: gradients, loss.</summary>
    Sink,
}
