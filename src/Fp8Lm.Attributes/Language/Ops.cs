namespace Fp8Lm;

/// <summary>
/// The operations of the language; write <c>using static Fp8Lm.Ops;</c>. Values have the shape <c>[micro-batch, sequence, features...]</c>; the two
/// leading axes are left out in the shapes below. The methods are read by the generator and never run.
/// </summary>
public static partial class Ops
{
    /// <summary>Looks every token up in a table: row <c>table[id]</c>.</summary>
    /// <param name="table"><c>[V, C]</c>: one row per entry of the vocabulary.</param>
    /// <param name="ids">The token ids.</param>
    /// <returns><c>[C]</c>.</returns>
    [Op("embed")]
    public static Tensor Embed(Weight table, Tokens ids) => throw Replaced.ByGenerator();

    /// <summary>Learned positions: row <c>table[t]</c> for the token at position t of its sequence (Vaswani et al. 2017, section 3.5).</summary>
    /// <param name="table"><c>[T, C]</c>; T is the longest sequence the model can read.</param>
    /// <param name="ids">The token ids; only their shape is used.</param>
    /// <returns><c>[C]</c>.</returns>
    [Op("position_embed")]
    public static Tensor PositionEmbed(Weight table, Tokens ids) => throw Replaced.ByGenerator();

    /// <summary><c>y = x W^T + b</c>. The GEMMs of recipes are the ones of this op.</summary>
    /// <param name="x"><c>[..., I]</c>.</param>
    /// <param name="weight"><c>[O, I]</c>.</param>
    /// <param name="bias"><c>[O]</c>, or none.</param>
    /// <returns><c>[..., O]</c>.</returns>
    [Op("linear")]
    public static Tensor Linear(Tensor x, Weight weight, Weight? bias = null) => throw Replaced.ByGenerator();

    /// <summary><c>(x - mean) / sqrt(variance + epsilon) * gain + bias</c> over the last axis (Ba et al. 2016).</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <param name="gain"><c>[C]</c>, usually with <see cref="Init.Ones"/>, or none.</param>
    /// <param name="bias"><c>[C]</c>, or none.</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("layer_norm")]
    public static Tensor LayerNorm(Tensor x, Weight? gain = null, Weight? bias = null, double epsilon = 1e-5) => throw Replaced.ByGenerator();

    /// <summary><c>x / sqrt(mean(x^2) + epsilon) * gain</c> over the last axis (Zhang and Sennrich 2019).</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <param name="gain"><c>[C]</c>, usually with <see cref="Init.Ones"/>, or none.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("rms_norm")]
    public static Tensor RmsNorm(Tensor x, Weight? gain = null, double epsilon = 1e-5) => throw Replaced.ByGenerator();

    /// <summary>Causal attention <c>softmax(scale * q k^T) v</c> (Vaswani et al. 2017, section 3.2). With fewer key/value heads than query heads, groups of query heads share one (GQA, Ainslie et al. 2023; MQA with one).</summary>
    /// <param name="query"><c>[Hq, D]</c>, see <see cref="SplitHeads"/>.</param>
    /// <param name="key"><c>[Hkv, D]</c>; Hq is a multiple of Hkv.</param>
    /// <param name="value"><c>[Hkv, D]</c>.</param>
    /// <param name="window">Sliding window: token i sees tokens j with <c>i - window &lt; j &lt;= i</c>; none: all before it.</param>
    /// <param name="scale">What scores are multiplied with; 0 stands for <c>1 / sqrt(D)</c>.</param>
    /// <returns><c>[Hq, D]</c>, see <see cref="MergeHeads"/>.</returns>
    [Op("attention")]
    public static Tensor Attention(Tensor query, Tensor key, Tensor value, Dim? window = null, double scale = 0) => throw Replaced.ByGenerator();

    /// <summary>Rotary positions (Su et al. 2021): pairs (a, b) of features turn by <c>t * theta^(-2i/dims)</c> at position t.</summary>
    /// <param name="x"><c>[H, D]</c>.</param>
    /// <param name="theta">Base of the frequencies.</param>
    /// <param name="interleaved">True: pairs are neighbours (GPT-J); false: halves (GPT-NeoX, LLaMA).</param>
    /// <param name="dims">How many leading features of a head turn; none: all.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("rotary")]
    public static Tensor Rotary(Tensor x, double theta = 10000, bool interleaved = false, Dim? dims = null) => throw Replaced.ByGenerator();

    /// <summary>In training, zeroes a value with probability <c>rate</c> and divides the others by <c>1 - rate</c> (Srivastava et al. 2014); in evaluation, nothing.</summary>
    /// <param name="x">Any shape.</param>
    /// <param name="rate">At least 0 and below 1.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    /// <remarks>The generator is counter based, so backward and recomputation see the same mask.</remarks>
    [Op("dropout")]
    public static Tensor Dropout(Tensor x, double rate) => throw Replaced.ByGenerator();

    /// <summary><c>logsumexp(logits) - logits[label] + zLoss * logsumexp(logits)^2</c>, averaged over the labels with their weights; negative labels do not count.</summary>
    /// <param name="logits"><c>[V]</c>.</param>
    /// <param name="labels">The ids to predict.</param>
    /// <param name="zLoss">Weight of the term that keeps the normaliser near 1 (PaLM, Chowdhery et al. 2022, section 5: 1e-4).</param>
    /// <returns>The loss; a model returns it.</returns>
    [Op("cross_entropy")]
    public static Loss CrossEntropy(Tensor logits, Labels labels, double zLoss = 0) => throw Replaced.ByGenerator();
}
