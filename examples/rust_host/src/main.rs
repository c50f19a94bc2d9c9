// SPDX-License-Identifier: Apache-2.0
//! A Rust program calls a function of a kernel, over declarations of its own: no build script, no crate.
//! usage: rust_host [KERNEL]        default: builtin/norm
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::{env, mem, process, ptr};

// As in kernels/common.h, repo.h and native.h.
#[repr(C)]
struct Error {
    size: usize,
    status: c_int,
    message: [c_char; 4096],
}

#[repr(C)]
struct RepoInfo {
    size: usize,
    kind: c_int,
    texts: [*const c_char; 9], // id, layer_name, revision, version, backend, display, allowed, user_agent, lock
    flags: [bool; 3],          // refresh, cache_only, any_arch
    buffer: [c_char; 256],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Device {
    place: i32,
    index: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Dtype {
    code: u8,
    bits: u8,
    lanes: u16,
}

#[repr(C)]
struct Tensor {
    data: *mut c_void,
    device: Device,
    ndim: i32,
    dtype: Dtype,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

#[repr(C)]
union Content {
    integer: i64,
    number: f64,
    tensor: *mut Tensor,
}

#[repr(C)]
struct Value {
    kind: i32,
    length: u32,
    content: Content,
}

type Handle = *mut c_void;

#[link(name = "kernels")]
extern "C" {
    fn kn_engine_new(options: *const c_void, out: *mut Handle, err: *mut Error) -> c_int;
    fn kn_engine_free(engine: Handle, host: *const c_void);
    fn kn_repo_parse(spec: *const c_char, out: *mut RepoInfo, err: *mut Error) -> c_int;
    fn kn_engine_get_native(
        engine: Handle,
        host: *const c_void,
        info: *const RepoInfo,
        out: *mut Handle,
        err: *mut Error,
    ) -> c_int;
    fn kn_native_find(kernel: Handle, name: *const c_char, out: *mut Handle, err: *mut Error) -> c_int;
    fn kn_function_call(
        function: Handle,
        arguments: *const Value,
        count: i32,
        result: *mut Value,
        err: *mut Error,
    ) -> c_int;
    fn kn_value_release(value: *mut Value);
}

/// The library's sentence where a call failed.
fn check(status: c_int, err: &Error) -> Result<(), String> {
    if status == 0 {
        return Ok(());
    }
    Err(unsafe { CStr::from_ptr(err.message.as_ptr()) }.to_string_lossy().into_owned())
}

/// An engine, which ends with its value.
struct Engine(Handle);

impl Drop for Engine {
    fn drop(&mut self) {
        unsafe { kn_engine_free(self.0, ptr::null()) }
    }
}

/// A tensor of one or two dimensions over `data`, which outlives it.
fn tensor(data: &mut [f32], shape: &mut [i64], strides: &mut [i64]) -> Tensor {
    Tensor {
        data: data.as_mut_ptr().cast(),
        device: Device { place: 1, index: 0 }, // the processor
        ndim: shape.len() as i32,
        dtype: Dtype { code: 2, bits: 32, lanes: 1 }, // float32
        shape: shape.as_mut_ptr(),
        strides: strides.as_mut_ptr(),
        byte_offset: 0,
    }
}

fn tensor_value(tensor: &mut Tensor) -> Value {
    Value { kind: 7, length: 0, content: Content { tensor } }
}

fn run(name: &str) -> Result<Vec<f32>, String> {
    let name = CString::new(name).map_err(|failure| failure.to_string())?;
    let (mut x, mut out, mut weight) = ([3.0f32; 8], vec![0.0f32; 8], [2.0f32; 4]);
    let (mut shape, mut strides, mut width, mut step) = ([2i64, 4], [4i64, 1], [4i64], [1i64]);
    // SAFETY: the declarations are those of the headers, and all that is pointed to outlives the calls.
    unsafe {
        let mut err: Error = mem::zeroed();
        err.size = mem::size_of::<Error>();
        let mut engine = Engine(ptr::null_mut());
        check(kn_engine_new(ptr::null(), &mut engine.0, &mut err), &err)?;
        let mut info: RepoInfo = mem::zeroed();
        info.size = mem::size_of::<RepoInfo>();
        check(kn_repo_parse(name.as_ptr(), &mut info, &mut err), &err)?;
        info.texts[4] = b"cpu\0".as_ptr().cast(); // the backend: where the tensors are, whatever GPUs there are
        let (mut kernel, mut rms_norm) = (ptr::null_mut(), ptr::null_mut());
        check(kn_engine_get_native(engine.0, ptr::null(), &info, &mut kernel, &mut err), &err)?;
        let function = b"rms_norm\0".as_ptr().cast();
        check(kn_native_find(kernel, function, &mut rms_norm, &mut err), &err)?;

        let mut of_out = tensor(&mut out, &mut shape, &mut strides);
        let mut of_x = tensor(&mut x, &mut shape, &mut strides);
        let mut of_weight = tensor(&mut weight, &mut width, &mut step);
        let arguments = [
            tensor_value(&mut of_out),
            tensor_value(&mut of_x),
            tensor_value(&mut of_weight),
            Value { kind: 3, length: 0, content: Content { number: 0.0 } },
        ];
        let mut result = Value { kind: 0, length: 0, content: Content { integer: 0 } };
        let status = kn_function_call(rms_norm, arguments.as_ptr(), 4, &mut result, &mut err);
        check(status, &err)?;
        kn_value_release(&mut result);
    }
    Ok(out)
}

fn main() {
    let name = env::args().nth(1).unwrap_or_else(|| "builtin/norm".into());
    match run(&name) {
        Ok(out) => println!("{} {}", out[0], out[7]),
        Err(message) => {
            eprintln!("{message}");
            process::exit(1);
        }
    }
}
