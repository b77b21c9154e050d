"""llama.cpp through the low-level API of llama-cpp-python: what the comparisons and benchmarks need, and no more."""
import ctypes

import llama_cpp as lib
import numpy as np

GGML_TYPE_BF16 = 30  # not among the names the Python package has
CACHE_TYPES = {"f32": lib.GGML_TYPE_F32, "f16": lib.GGML_TYPE_F16, "bf16": GGML_TYPE_BF16, "q8": lib.GGML_TYPE_Q8_0}
NAME = "llama.cpp"
VERSION = "llama-cpp-python " + lib.__version__


@lib.llama_log_callback
def _silent(level, text, user_data):
    pass


lib.llama_log_set(_silent, ctypes.c_void_p(0))
lib.llama_backend_init()


def _bytes_of(array):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


def _cells(state):
    """A sequence's state is: a magic number, the sequence, streams (one), cells; then for every cell its position, a
    count of sequences (one) and the sequence: these; then keys and values."""
    count = int(state[12:16].view("<u4")[0])
    return state[16 : 16 + 12 * count].view("<i4").reshape(-1, 3)


class Peer:
    """A model and one sequence's context. flash: flash attention; the cache types are those of K and V. shares: a Peer
    whose model is used instead of loading it again; it must be closed after this one."""

    def __init__(self, path, context, threads=2, flash=False, cache="f16", batch=512, shares=None):
        self.shares = shares
        self.model = shares.model if shares else self._load(path)
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = context, batch, batch
        params.n_seq_max, params.kv_unified = 2, True  # the second is where prepared state arrives
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.type_k = params.type_v = CACHE_TYPES[cache]
        self.context = lib.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError(f"{path}: llama.cpp cannot make a context of {context} tokens")
        self.memory = lib.llama_get_memory(self.context)
        self.vocab = lib.llama_model_get_vocab(self.model)
        self.vocab_size = lib.llama_vocab_n_tokens(self.vocab)
        self.batch_tokens = batch
        self.batch = lib.llama_batch_init(batch, 0, 1)

    @staticmethod
    def _load(path):
        params = lib.llama_model_default_params()
        params.n_gpu_layers = 0
        model = lib.llama_model_load_from_file(str(path).encode(), params)
        if not model:
            raise RuntimeError(f"{path}: llama.cpp cannot load it")
        return model

    def close(self):
        lib.llama_batch_free(self.batch)
        lib.llama_free(self.context)
        if not self.shares:
            lib.llama_model_free(self.model)

    def clear(self):
        lib.llama_memory_clear(self.memory, True)

    def truncate(self, positions):
        """Forgets everything from this position on."""
        lib.llama_memory_seq_rm(self.memory, 0, positions, -1)

    def stretch(self, tokens):
        """The state of these tokens, read at position 0, for append_stretch(). Clears the context."""
        self.clear()
        self.decode(tokens, 0, len(tokens) - 1)
        state = np.empty(lib.llama_state_seq_get_size(self.context, 0), np.uint8)
        written = lib.llama_state_seq_get_data(self.context, _bytes_of(state), len(state), 0)
        cells = _cells(state)
        known = tuple(state[8:16].view("<u4")) == (1, len(tokens)) and written == len(state)
        if not known or (cells[:, 0] != np.arange(len(tokens))).any() or (cells[:, 1] != 1).any():
            raise RuntimeError("llama.cpp keeps its state in another form than this program knows")
        self.clear()
        return state

    def append_stretch(self, state, position):
        """Puts a stretch at this position, where the sequence must end, as if those tokens had been read there."""
        cells = _cells(state)
        cells[:, 0] = np.arange(position, position + len(cells))
        if lib.llama_state_seq_set_data(self.context, _bytes_of(state), len(state), 1) != len(state):
            raise RuntimeError("llama.cpp refuses the prepared state")
        lib.llama_memory_seq_cp(self.memory, 1, 0, -1, -1)
        lib.llama_memory_seq_rm(self.memory, 1, -1, -1)

    def tokenize(self, text, add_special=False, parse_special=False):
        data = text.encode()
        ids = (lib.llama_token * (len(data) + 8))()
        count = lib.llama_tokenize(self.vocab, data, len(data), ids, len(ids), add_special, parse_special)
        return list(ids[:count])

    def detokenize(self, tokens):
        out = bytearray()
        piece = ctypes.create_string_buffer(512)
        for token in tokens:
            size = lib.llama_token_to_piece(self.vocab, token, piece, len(piece), 0, True)
            out += piece.raw[: max(size, 0)]
        return out.decode(errors="replace")

    def adds_bos(self):
        return lib.llama_vocab_get_add_bos(self.vocab)

    def bos(self):
        return lib.llama_vocab_bos(self.vocab)

    def is_end(self, token):
        return lib.llama_vocab_is_eog(self.vocab, token)

    def decode(self, tokens, position, first_logits):
        """One call for up to `batch` tokens; those from index first_logits on produce logits."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i] = int(token)
            batch.pos[i] = position + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = i >= first_logits
        status = lib.llama_decode(self.context, batch)
        if status != 0:
            raise RuntimeError(f"llama_decode: {status}")
        lib.llama_synchronize(self.context)

    def logits(self, tokens, position=0, first=0):
        """Logits [len(tokens) - first, vocab] of tokens at `position` ...; those before `first` have none."""
        rows = []
        for begin in range(0, len(tokens), self.batch_tokens):
            part = tokens[begin : begin + self.batch_tokens]
            wanted_from = min(max(first - begin, 0), len(part))
            self.decode(part, position + begin, wanted_from)
            if wanted_from < len(part):
                data = lib.llama_get_logits(self.context)
                shape = (len(part) - wanted_from, self.vocab_size)
                rows.append(np.ctypeslib.as_array(data, shape).copy())
        return np.concatenate(rows)


def quantise(source, target, file_type):
    """llama.cpp's own conversion of a GGUF file; file_type: f32, f16, bf16, q8_0, q4_0 or q4_1."""
    params = lib.llama_model_quantize_default_params()
    params.ftype = {
        "f32": lib.LLAMA_FTYPE_ALL_F32,
        "f16": lib.LLAMA_FTYPE_MOSTLY_F16,
        "bf16": lib.LLAMA_FTYPE_MOSTLY_BF16,
        "q8_0": lib.LLAMA_FTYPE_MOSTLY_Q8_0,
        "q4_0": lib.LLAMA_FTYPE_MOSTLY_Q4_0,
        "q4_1": lib.LLAMA_FTYPE_MOSTLY_Q4_1,
    }[file_type]
    params.allow_requantize = True
    params.pure = True
    status = lib.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    if status != 0:
        raise RuntimeError(f"llama_model_quantize: {status}")
