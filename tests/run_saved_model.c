/* Continues texts with an exported SavedModel: no Python, no Keras.
 *
 * Usage: run_saved_model FOLDER OUTPUT PROMPT...
 * OUTPUT is the operation behind `text`, which saved_model_cli shows.
 * Writes each continuation, followed by a zero byte, to standard output.
 * Build: see test_a_c_program_runs_it_without_python in test_saved_model.py.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

static TF_Status* status;

static void check(const char* step) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s: %s\n", step, TF_Message(status));
  exit(1);
}

static TF_Output first_output(TF_Graph* graph, const char* name) {
  TF_Output found = {TF_GraphOperationByName(graph, name), 0};
  if (found.oper) return found;
  fprintf(stderr, "no operation %s\n", name);
  exit(1);
}

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  int count = argc - 3;
  status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(
      options, NULL, argv[1], tags, 1, graph, NULL, status);
  check("load");

  int64_t shape[] = {count};
  TF_Tensor* prompts =
      TF_AllocateTensor(TF_STRING, shape, 1, count * sizeof(TF_TString));
  TF_TString* strings = TF_TensorData(prompts);
  for (int i = 0; i < count; i++) {
    const char* prompt = argv[i + 3];
    size_t length = 0;
    while (prompt[length]) length++;
    TF_StringInit(&strings[i]);
    TF_StringCopy(&strings[i], prompt, length);
  }

  TF_Output input = first_output(graph, "serving_default_prompt");
  TF_Output text = first_output(graph, argv[2]);
  TF_Tensor* texts = NULL;
  TF_SessionRun(session, NULL, &input, &prompts, 1, &text, &texts, 1, NULL, 0,
                NULL, status);
  check("run");
  TF_TString* found = TF_TensorData(texts);
  for (int i = 0; i < count; i++) {
    fwrite(TF_StringGetDataPointer(&found[i]), 1, TF_StringGetSize(&found[i]),
           stdout);
    putchar(0);
  }
  return 0;
}
