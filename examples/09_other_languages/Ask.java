/* Asks a `keras-llm serve` to continue a text, with Java's own library only.
 *
 *   java Ask.java http://127.0.0.1:8000 "Once upon a time"
 *
 * KERAS_LLM_TOKEN is sent where the server wants one. Java 17 or newer. A
 * program with a JSON library takes that in place of quoted() and TEXT.
 */
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.regex.Pattern;

public class Ask {
  private static final Pattern TEXT =
      Pattern.compile("\"text\":\\s*\"((?:[^\"\\\\]|\\\\.)*)\"");

  /** A string as JSON has it. */
  private static String quoted(String text) {
    StringBuilder made = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c == '"' || c == '\\') made.append('\\').append(c);
      else if (c < ' ') made.append(String.format("\\u%04x", (int) c));
      else made.append(c);
    }
    return made.append('"').toString();
  }

  /** The string that JSON's escapes mean. */
  private static String plain(String text) {
    StringBuilder made = new StringBuilder();
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (c == '\\') {
        c = text.charAt(++i);
        int place = "bfnrt".indexOf(c);
        if (place >= 0) c = "\b\f\n\r\t".charAt(place);
        if (c == 'u') {
          c = (char) Integer.parseInt(text.substring(i + 1, i + 5), 16);
          i += 4;
        }
      }
      made.append(c);
    }
    return made.toString();
  }

  public static void main(String[] words) throws Exception {
    if (words.length != 2) {
      System.err.println("Usage: java Ask.java ADDRESS PROMPT");
      System.exit(2);
    }
    String token = System.getenv().getOrDefault("KERAS_LLM_TOKEN", "");
    String body = String.format(
        "{\"prompt\": %s, \"max_tokens\": 32, \"seed\": 1}", quoted(words[1]));
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(words[0] + "/v1/completions"))
            .header("Authorization", "Bearer " + token)
            .POST(BodyPublishers.ofString(body))
            .build();
    var answer =
        HttpClient.newHttpClient().send(request, BodyHandlers.ofString());
    var text = TEXT.matcher(answer.body());
    if (answer.statusCode() != 200 || !text.find()) {
      System.err.println(answer.body()); // a sentence about what is wrong
      System.exit(1);
    }
    byte[] bytes = plain(text.group(1)).getBytes(StandardCharsets.UTF_8);
    System.out.write(bytes, 0, bytes.length);
    System.out.flush();
  }
}
