using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using Fp8Lm.Data;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Data;

public sealed class CorpusTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("fp8lm-test-").FullName;
    private readonly List<string> notes = [];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Files_of_a_folder_are_joined_in_order_and_binary_ones_skipped()
    {
        Write("b/two.txt", "two");
        Write("a.txt", "one");
        Write("c.bin", "x\0y");
        Write("d.txt", "");
        Write(".hidden", "no");

        using ByteCorpus corpus = CorpusLoader.Load([folder], notes.Add);

        Assert.Equal("one\n\ntwo\n\n", Text(corpus));
        Assert.Equal(2, notes.Count);
        Assert.Contains(notes, n => n.Contains("c.bin", StringComparison.Ordinal) && n.Contains("binary", StringComparison.Ordinal));
        Assert.Contains(notes, n => n.Contains("d.txt", StringComparison.Ordinal) && n.Contains("empty", StringComparison.Ordinal));
    }

    [Fact]
    public void Every_range_reads_what_the_whole_says()
    {
        using var corpus = new ByteCorpus();
        var whole = new StringBuilder();
        for (int i = 0; i < 100; i++)
        {
            string text = new((char)('a' + (i % 26)), 1 + (i % 7));
            whole.Append(text).Append("\n\n");
            if (i % 2 == 0)
            {
                corpus.Add(Encoding.ASCII.GetBytes(text));
            }
            else
            {
                Write($"{i}.txt", text);
                corpus.AddFile(Path.Combine(folder, $"{i}.txt"), default, text.Length);
            }
        }

        string expected = whole.ToString();
        Assert.Equal(expected.Length, corpus.Count);
        for (int start = 0; start < expected.Length; start += 3)
        {
            int[] tokens = new int[Math.Min(50, expected.Length - start)];
            corpus.Read(start, tokens);
            Assert.Equal(expected.Substring(start, tokens.Length), string.Concat(tokens.Select(t => (char)t)));
        }
    }

    [Fact]
    public void A_file_that_shrinks_is_an_error_with_its_name()
    {
        Write("a.txt", "0123456789");
        using ByteCorpus corpus = CorpusLoader.Load([Path.Combine(folder, "a.txt")], notes.Add);
        Write("a.txt", "01");

        Assert.Contains("a.txt became shorter", Assert.Throws<DataException>(() => Text(corpus)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_split_holds_the_tail_out()
    {
        using var corpus = new ByteCorpus();
        corpus.Add(new byte[998]);

        (ITokenSource training, ITokenSource? validation) = CorpusLoader.Split(corpus, 16, 0.1);

        Assert.Equal(900, training.Count);
        Assert.Equal(100, validation!.Count);
    }

    [Theory]
    [InlineData(14, 17, true)]
    [InlineData(15, 17, false)]
    [InlineData(31, 33, false)]
    public void A_corpus_too_short_for_two_parts_has_no_held_out_part(int bytes, int count, bool error)
    {
        using var corpus = new ByteCorpus();
        corpus.Add(new byte[bytes]);
        if (error)
        {
            Assert.Contains("one sequence needs 17", Assert.Throws<DataException>(() => CorpusLoader.Split(corpus, 16, 0.1)).Message, StringComparison.Ordinal);
            return;
        }

        (ITokenSource training, ITokenSource? validation) = CorpusLoader.Split(corpus, 16, 0.1);

        Assert.Equal(count, training.Count);
        Assert.Null(validation);
    }

    [Fact]
    public void Every_sequence_comes_once_an_epoch_in_another_order_each()
    {
        using var corpus = new ByteCorpus();
        corpus.Add(new byte[1600 + 7]);
        var source = new SequenceSource(corpus, 16, seed: 3, shuffle: true);
        long n = source.SequencesPerEpoch;

        long[] first = [.. Enumerable.Range(0, (int)n).Select(i => source.Start(i))];
        long[] second = [.. Enumerable.Range(0, (int)n).Select(i => source.Start(n + i))];

        foreach (long[] epoch in (long[][])[first, second])
        {
            long[] sorted = [.. epoch.Order()];
            Assert.All(sorted.Zip(sorted.Skip(1)), pair => Assert.Equal(16, pair.Second - pair.First));
            Assert.InRange(sorted[0], 0, 9);
            Assert.InRange(sorted[^1], 0, corpus.Count - 17);
        }

        Assert.NotEqual(first, second);
        Assert.NotEqual(first.Order(), first);
        Assert.Equal(first, Enumerable.Range(0, (int)n).Select(i => new SequenceSource(corpus, 16, 3, true).Start(i)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(64)]
    [InlineData(1000)]
    [InlineData(4097)]
    public void A_permutation_is_one(int count)
    {
        Assert.Equal(
            Enumerable.Range(0, count).Select(i => (long)i),
            Enumerable.Range(0, count).Select(i => Permutation.Apply(i, count, 42)).Order());
    }

    [Fact]
    public void Labels_are_the_next_tokens()
    {
        using var corpus = new ByteCorpus();
        corpus.Add([.. Enumerable.Range(0, 100).Select(i => (byte)i)]);
        var source = new SequenceSource(corpus, 8, seed: 1, shuffle: false);
        int[] tokens = new int[8], labels = new int[8];
        float[] weights = new float[8];

        source.Read(2, tokens, labels, weights);

        Assert.Equal(Enumerable.Range(16, 8), tokens);
        Assert.Equal(Enumerable.Range(17, 8), labels);
        Assert.All(weights, w => Assert.Equal(1f, w));
    }

    [Fact]
    public void The_byte_tokenizer_goes_both_ways()
    {
        var tokenizer = new ByteTokenizer();

        Assert.Equal("Grüße, 世界", tokenizer.Decode(tokenizer.Encode("Grüße, 世界")));
        Assert.Equal("?", tokenizer.Decode([300]));
    }

    private static string Text(ByteCorpus corpus)
    {
        int[] tokens = new int[corpus.Count];
        corpus.Read(0, tokens);
        return string.Concat(tokens.Select(t => (char)t));
    }

    private void Write(string name, string text)
    {
        string path = Path.Combine(folder, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }
}
