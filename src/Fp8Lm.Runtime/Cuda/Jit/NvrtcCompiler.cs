using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using System.Text.RegularExpressions;
using Fp8Lm.Cuda.Interop;

namespace Fp8Lm.Cuda.Jit;

/// <summary>One call of NVRTC: text in, machine code and log out. Safe to use from several threads.</summary>
internal static unsafe partial class NvrtcCompiler
{
    /// <summary>The instruction set of wgmma, TMA and setmaxnreg; the suffix ties the code to Hopper.</summary>
    public const string Architecture = "sm_90a";

    private static readonly Version OldestVersion = new(12, 4);
    private static readonly Lazy<Version> LoadedVersion = new(ReadVersion);
    private static readonly Lazy<HeaderTable> SharedHeaders = new(() => new HeaderTable(DeviceLibrary.Headers));

    /// <summary>Version of the loaded library.</summary>
    public static Version Version => LoadedVersion.Value;

    /// <summary>Options for a kernel with the given <c>NAME=value</c> definitions, in a fixed order.</summary>
    public static IReadOnlyList<string> Options(Version version, IReadOnlyList<string> defines)
    {
        List<string> options =
        [
            $"--gpu-architecture={Architecture}", "--std=c++17", "--device-as-default-execution-space",
            // Registers and spills are read from the log; ptxas says nothing about them otherwise.
            "-Xptxas=-v",
        ];
        if (version >= new Version(12, 9))
        {
            // From 12.9 on NVRTC keeps a disk cache of its own; ours sits in front of it and needs no second copy.
            options.Add("--no-cache");
        }

        options.AddRange(defines.Select(define => $"-D{define}"));
        return options;
    }

    /// <summary>Compiles without looking at any cache.</summary>
    /// <exception cref="CudaException">The source does not compile, or ptxas serialised the tensor-core instructions (C75xx).</exception>
    public static CompiledKernel Compile(string source, IReadOnlyList<string> options)
    {
        HeaderTable headers = SharedHeaders.Value;
        byte[] text = Terminated(source);
        byte[] name = Terminated("kernel.cu");
        byte[] optionTexts = Terminated(string.Join('\0', options));
        byte** optionPointers = stackalloc byte*[options.Count];
        nint program;
        fixed (byte* textPointer = text, namePointer = name, optionPointer = optionTexts)
        {
            byte* next = optionPointer;
            for (int i = 0; i < options.Count; i++)
            {
                optionPointers[i] = next;
                next += Encoding.UTF8.GetByteCount(options[i]) + 1;
            }

            Check(Nvrtc.CreateProgram(out program, textPointer, namePointer, headers.Count, headers.Texts, headers.Names), "nvrtcCreateProgram");
            try
            {
                int result = Nvrtc.CompileProgram(program, options.Count, optionPointers);
                string log = ReadLog(program);
                if (result != 0)
                {
                    throw new CudaException(
                        $"NVRTC {Version} did not compile a kernel ({Nvrtc.Describe(result)}).\nOptions: {string.Join(' ', options)}\n{log}\n{Numbered(source)}");
                }

                if (Serialisation().Match(log) is { Success: true } warning)
                {
                    throw new CudaException(
                        $"ptxas would run this kernel's tensor-core instructions one at a time ({warning.Value}); it is several times too slow to use.\n{log}");
                }

                Check(Nvrtc.GetCubinSize(program, out nuint size), "nvrtcGetCUBINSize");
                byte[] cubin = new byte[size];
                fixed (byte* cubinPointer = cubin)
                {
                    Check(Nvrtc.GetCubin(program, cubinPointer), "nvrtcGetCUBIN");
                }

                return new CompiledKernel(cubin, log, FromCache: false);
            }
            finally
            {
                _ = Nvrtc.DestroyProgram(ref program);
            }
        }
    }

    private static Version ReadVersion()
    {
        Check(Nvrtc.Version(out int major, out int minor), "nvrtcVersion");
        Version version = new(major, minor);
        return version >= OldestVersion
            ? version
            : throw new CudaException($"NVRTC {version} ({NativeLibraries.PathOf(NativeLibraries.Nvrtc)}) is too old; {OldestVersion} or newer is needed.");
    }

    private static string ReadLog(nint program)
    {
        Check(Nvrtc.GetProgramLogSize(program, out nuint size), "nvrtcGetProgramLogSize");
        byte[] log = new byte[size];
        fixed (byte* pointer = log)
        {
            Check(Nvrtc.GetProgramLog(program, pointer), "nvrtcGetProgramLog");
        }

        return Encoding.UTF8.GetString(log).TrimEnd('\0', '\n');
    }

    private static void Check(int result, string call)
    {
        if (result != 0)
        {
            throw new CudaException($"{call}: {Nvrtc.Describe(result)}");
        }
    }

    private static byte[] Terminated(string text) => Encoding.UTF8.GetBytes(text + '\0');

    private static string Numbered(string source)
        => string.Join('\n', source.Split('\n').Select((line, index) => $"{index + 1,5}  {line}"));

    [GeneratedRegex("C75\\d\\d")]
    private static partial Regex Serialisation();

    /// <summary>The device library as the arrays NVRTC takes; pinned for the life of the process.</summary>
    private sealed class HeaderTable
    {
        public HeaderTable(IReadOnlyDictionary<string, string> headers)
        {
            Count = headers.Count;
            Names = Pin(headers.Keys);
            Texts = Pin(headers.Values);
        }

        public int Count { get; }

        public byte** Names { get; }

        public byte** Texts { get; }

        private byte** Pin(IEnumerable<string> texts)
        {
            nint* table = (nint*)System.Runtime.InteropServices.NativeMemory.Alloc((nuint)Math.Max(Count, 1), (nuint)sizeof(nint));
            int index = 0;
            foreach (string text in texts)
            {
                byte[] bytes = Terminated(text);
                nint copy = (nint)System.Runtime.InteropServices.NativeMemory.Alloc((nuint)bytes.Length);
                bytes.CopyTo(new Span<byte>((void*)copy, bytes.Length));
                table[index++] = copy;
            }

            return (byte**)table;
        }
    }
}
