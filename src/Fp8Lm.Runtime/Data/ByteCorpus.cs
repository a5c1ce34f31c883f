using System;
using System.Buffers;
using System.Collections.Generic;
using System.IO;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Fp8Lm.Data;

/// <summary>
/// Bytes of documents, one after the other with an empty line between, one token per byte. Files are read where and when they are needed,
/// so a corpus may be larger than memory.
/// </summary>
public sealed class ByteCorpus : ITokenSource, IDisposable
{
    private const int MostOpenFiles = 64;
    private static readonly byte[] separator = "\n\n"u8.ToArray();

    private readonly List<Document> documents = [];
    private readonly List<long> starts = [];
    private readonly Dictionary<int, SafeFileHandle> open = [];
    private readonly Queue<int> openOrder = new();
    private readonly IncrementalHash digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <inheritdoc/>
    public long Count { get; private set; }

    /// <summary>Number of documents.</summary>
    public int Documents => documents.Count;

    /// <inheritdoc/>
    public string Fingerprint => Convert.ToHexStringLower(digest.GetCurrentHash())[..32];

    /// <summary>Adds a document in memory.</summary>
    public void Add(byte[] text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.Length > 0)
        {
            digest.AppendData(text);
            Append(new Document(null, text, text.Length));
        }
    }

    /// <summary>Adds a file, which must not change while the corpus is in use. Its name, length and first bytes go into the fingerprint.</summary>
    public void AddFile(string path, ReadOnlySpan<byte> beginning, long length)
    {
        if (length > 0)
        {
            digest.AppendData(Encoding.UTF8.GetBytes(FormattableString.Invariant($"{Path.GetFileName(path)}:{length}:")));
            digest.AppendData(beginning);
            Append(new Document(path, [], length));
        }
    }

    /// <inheritdoc/>
    public void Read(long start, Span<int> tokens)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, Count - tokens.Length);
        byte[] bytes = ArrayPool<byte>.Shared.Rent(tokens.Length);
        try
        {
            ReadBytes(start, bytes.AsSpan(0, tokens.Length));
            for (int i = 0; i < tokens.Length; i++)
            {
                tokens[i] = bytes[i];
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        digest.Dispose();
        foreach (SafeFileHandle handle in open.Values)
        {
            handle.Dispose();
        }

        open.Clear();
    }

    private void Append(Document document)
    {
        starts.Add(Count);
        documents.Add(document);
        Count = checked(Count + document.Length + separator.Length);
    }

    private void ReadBytes(long start, Span<byte> bytes)
    {
        int index = starts.BinarySearch(start);
        index = index >= 0 ? index : ~index - 1;
        while (!bytes.IsEmpty)
        {
            long inside = start - starts[index];
            int taken = inside < documents[index].Length
                ? ReadDocument(index, inside, bytes)
                : Copy(separator.AsSpan((int)(inside - documents[index].Length)), bytes);
            bytes = bytes[taken..];
            start += taken;
            index += index + 1 < starts.Count && start >= starts[index + 1] ? 1 : 0;
        }
    }

    private int ReadDocument(int index, long offset, Span<byte> bytes)
    {
        Document document = documents[index];
        Span<byte> wanted = bytes[..(int)Math.Min(bytes.Length, document.Length - offset)];
        if (document.Path is null)
        {
            return Copy(document.Text.AsSpan((int)offset), wanted);
        }

        int read = RandomAccess.Read(Handle(index), wanted, offset);
        return read > 0
            ? read
            : throw new DataException($"{document.Path} became shorter while it was used for training: it had {document.Length} bytes and ends at {offset} now.");
    }

    private static int Copy(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        int count = Math.Min(source.Length, destination.Length);
        source[..count].CopyTo(destination);
        return count;
    }

    private SafeFileHandle Handle(int index)
    {
        if (!open.TryGetValue(index, out SafeFileHandle? handle))
        {
            if (open.Count == MostOpenFiles && open.Remove(openOrder.Dequeue(), out SafeFileHandle? oldest))
            {
                oldest.Dispose();
            }

            handle = File.OpenHandle(documents[index].Path!, options: FileOptions.RandomAccess);
            open.Add(index, handle);
            openOrder.Enqueue(index);
        }

        return handle;
    }

    private sealed record Document(string? Path, byte[] Text, long Length);
}
