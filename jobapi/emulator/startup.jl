# Loaded before a job's program: log records and results find their way to the
# emulator through it. It works from Julia 1.3 on, without any package.
module JuliaRunJob

const CL = Base.CoreLogging

# Taken away from the program's environment: they are the emulator's own.
const KEY = pop!(ENV, "JULIAHUB_EMULATOR_KEY")
const OUT_DIR = pop!(ENV, "JULIAHUB_EMULATOR_OUT")
const OUT = stdout # the stream of the start, wherever the program redirects its own

# ── JSON, as much as a log record needs ──

function text(io::IO, s::AbstractString)
    print(io, '"')
    for c in s
        if c == '"' || c == '\\'
            print(io, '\\', c)
        elseif !isvalid(c)
            print(io, "\\ufffd")
        elseif c < ' ' || c == '\x7f'
            print(io, "\\u", string(UInt32(c); base = 16, pad = 4))
        else
            print(io, c)
        end
    end
    print(io, '"')
end

value(io::IO, x::AbstractString) = text(io, x)
value(io::IO, x::Bool) = print(io, x)
value(io::IO, ::Nothing) = print(io, "null")
value(io::IO, x::Union{Int8,Int16,Int32,Int64,UInt8,UInt16,UInt32,UInt64}) = print(io, x)
value(io::IO, x::Union{Float32,Float64}) = isfinite(x) ? print(io, Float64(x)) : text(io, string(x))
value(io::IO, x::Tuple{Exception,Any}) = text(io, sprint(showerror, x[1], x[2]))
value(io::IO, x::Exception) = text(io, sprint(showerror, x))
value(io::IO, x) = text(io, shown(x))

shown(x) =
    try
        string(x)
    catch
        "(a " * string(typeof(x)) * " that cannot be shown)"
    end

function object(io::IO, pairs)
    print(io, '{')
    for (i, (k, v)) in enumerate(pairs)
        i > 1 && print(io, ',')
        text(io, string(k))
        print(io, ':')
        value(io, v)
    end
    print(io, '}')
end

# ── the logger ──

struct JobLogger <: CL.AbstractLogger
    left::Dict{Any,Int} # how often messages with maxlog may still come
    lock::ReentrantLock
end

CL.min_enabled_level(::JobLogger) = CL.LogLevel(-1) # ProgressLogging's level
CL.shouldlog(l::JobLogger, level, _module, group, id) = get(l.left, id, 1) > 0
CL.catch_exceptions(::JobLogger) = true

# The named levels by their names, as recorded from the real system; others as numbers.
level_of(l::CL.LogLevel) =
    l == CL.Debug ? "Debug" : l == CL.Info ? "Info" : l == CL.Warn ? "Warn" : l == CL.Error ? "Error" : Int64(l.level)
level_of(l) = string(l)

function CL.handle_message(l::JobLogger, level, message, _module, group, id, file, line; maxlog = nothing, kwargs...)
    lock(l.lock) do
        if maxlog isa Integer
            n = get!(l.left, id, Int(maxlog))
            l.left[id] = n - 1
            n > 0 || return
        end
        io = IOBuffer()
        print(io, '\x1e', KEY, "{\"message\":")
        text(io, shown(message))
        print(io, ",\"worker\":1,\"thread\":", Threads.threadid(), ",\"keywords\":")
        object(io, kwargs)
        print(io, ",\"metadata\":")
        object(io, (
            "level" => level_of(level), "group" => string(group), "line" => line isa Integer ? Int64(line) : nothing,
            "filepath" => file === nothing ? nothing : string(file), "_module" => _module === nothing ? nothing : string(_module),
            "id" => string(id),
        ))
        print(io, "}\n")
        write(OUT, take!(io))
        flush(OUT)
    end
    nothing
end

# ── results of the first generation, which live in the program's environment ──

function hand_over()
    if haskey(ENV, "RESULTS")
        write(joinpath(OUT_DIR, "RESULTS"), ENV["RESULTS"])
    end
    if !isempty(get(ENV, "RESULTS_FILE", ""))
        write(joinpath(OUT_DIR, "RESULTS_FILE"), abspath(ENV["RESULTS_FILE"]))
    end
end

atexit(hand_over)
CL.global_logger(JobLogger(Dict{Any,Int}(), ReentrantLock()))

end
