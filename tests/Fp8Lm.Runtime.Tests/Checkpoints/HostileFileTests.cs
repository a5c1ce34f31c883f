using System;
using System.Buffers.Binary;
using System.IO;
using System.Linq;
using System.Text;
using Fp8Lm.Checkpoints;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Checkpoints;

public sealed class HostileFileTests : IDisposable
{
    private const string A = "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}";
    private readonly string folder = Directory.CreateTempSubdirectory("fp8lm-test-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void A_plain_file_of_another_tool_is_read()
    {
        using SafetensorsFile file = SafetensorsFile.Open(Write("{" + A + ",\"b\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[8,10]}}   ", 10));

        Assert.Equal("F32[2]", file.Require("a", "F32", 2).Describe());
        Assert.Equal(2, file.Header.Tensors["b"].Length);
        file.Verify();
    }

    [Theory]
    [InlineData("", 0, "not valid JSON")]
    [InlineData("{", 0, "not valid JSON")]
    [InlineData("[]", 0, "start with '{'")]
    [InlineData("{" + A + "} x", 8, "not valid JSON")]
    [InlineData("{" + A + "}", 7, "lies at bytes 0 to 8 of 7")]
    [InlineData("{" + A + "}", 9, "tensors end at byte 8 of the data, but the file has 9")]
    [InlineData("{" + A + "," + A + "}", 8, "'a' appears twice")]
    [InlineData("{" + A + ",\"\\u0061\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[8,8]}}", 8, "'a' appears twice")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "lies at bytes 8 to 0")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "non-negative integers")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,1e30]}}", 8, "non-negative integers")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "at most 2")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "two data offsets")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "is F32[3] but has 8 bytes")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}}", 8, "but has 8 bytes")]
    [InlineData("{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "unknown dtype 'F33'")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, "at most 16")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "two values for dtype")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "needs dtype, shape")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, "unknown property 'x'")]
    [InlineData("{\"a\":1}", 0, "Expected an object for 'a'")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}", 12, "'a' ends at 4, so there is a gap")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "an overlap")]
    [InlineData("{\"__metadata__\":{\"k\":1}}", 0, "text for metadata 'k'")]
    [InlineData("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "Metadata 'k' appears twice")]
    [InlineData("{\"\\ud800\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "not valid JSON")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[[[[[1]]]]],\"data_offsets\":[0,8]}}", 8, "")]
    public void A_wrong_header_is_refused_with_the_reason(string header, int dataBytes, string reason)
    {
        string path = Write(header, dataBytes);

        var failure = Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path));

        Assert.Contains(reason, failure.Message, StringComparison.Ordinal);
        Assert.StartsWith(path, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Bytes_that_are_not_utf8_are_refused()
    {
        byte[] header = [.. "{\""u8, 0xFF, 0xFE, .. "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"u8];

        Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(Write(header, 8)));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    public void A_file_without_room_for_a_length_is_refused(int bytes)
    {
        string path = Path.Combine(folder, "tiny");
        File.WriteAllBytes(path, new byte[bytes]);

        Assert.Contains($"has {bytes} bytes", Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ulong.MaxValue, 100)]
    [InlineData(1UL << 62, 100)]
    [InlineData(101UL, 100)]
    [InlineData(200UL << 20, 300 << 20)]
    public void A_huge_header_length_allocates_nothing(ulong length, int followingBytes)
    {
        string path = Path.Combine(folder, "huge");
        using (FileStream stream = File.Create(path))
        {
            Span<byte> prefix = stackalloc byte[8];
            BinaryPrimitives.WriteUInt64LittleEndian(prefix, length);
            stream.Write(prefix);

            // A sparse file: long without taking disk.
            stream.SetLength(8L + followingBytes);
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        var failure = Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path));

        Assert.Contains($"{length} bytes", failure.Message, StringComparison.Ordinal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000);
    }

    [Fact]
    public void Names_in_messages_are_short_and_harmless()
    {
        string name = "\\u001b[2J" + new string('x', 100_000);
        string path = Write("{\"" + name + "\":{\"dtype\":\"?\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8);

        string message = Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path)).Message;

        Assert.DoesNotContain('\u001b', message);
        Assert.InRange(message.Length, 1, 500);
    }

    [Fact]
    public void A_tensor_of_another_shape_or_type_is_named_with_both()
    {
        using SafetensorsFile file = SafetensorsFile.Open(Write("{" + A + "}", 8));

        Assert.Contains("'a' is F32[2]; the model has F32[3]", Assert.Throws<CheckpointException>(() => file.Require("a", "F32", 3)).Message, StringComparison.Ordinal);
        Assert.Contains("the model has BF16[2]", Assert.Throws<CheckpointException>(() => file.Require("a", "BF16", 2)).Message, StringComparison.Ordinal);
        Assert.Contains("'b' is missing", Assert.Throws<CheckpointException>(() => file.Require("b", "F32", 2)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Random_headers_never_escape_as_another_exception()
    {
        byte[] good = Encoding.UTF8.GetBytes("{\"__metadata__\":{\"k\":\"v\"}," + A + "}");
        var random = new Random(1);
        for (int i = 0; i < 3000; i++)
        {
            byte[] bytes = [.. good];
            for (int flips = random.Next(1, 4); flips > 0; flips--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                _ = SafetensorsHeader.Parse(bytes, 8);
            }
            catch (CheckpointException)
            {
                // The only exception a file can cause.
            }
        }
    }

    private string Write(string header, int dataBytes) => Write(Encoding.UTF8.GetBytes(header), dataBytes);

    private string Write(byte[] header, int dataBytes)
    {
        string path = Path.Combine(folder, "file.safetensors");
        byte[] prefix = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(prefix, header.Length);
        File.WriteAllBytes(path, [.. prefix, .. header, .. Enumerable.Repeat((byte)1, dataBytes)]);
        return path;
    }
}
